// Pictures of plans: what a person counts in them is what the plan says.
#include "launcher/planner/plan_picture.h"

#include <gtest/gtest.h>

#include <regex>

namespace tandem::launcher {
namespace {

StageMemory stage_of_roles(std::vector<RoleMemory> roles) {
  StageMemory stage;
  stage.stage = "pretrain";
  stage.roles = std::move(roles);
  return stage;
}

RoleMemory role() {
  return {.role = "model",
          .layout = "dp2 <&>",
          .parameters = 400,
          .gradients = 300,
          .optimizer = 200,
          .activations = 100,
          .generation = 50};
}

std::int64_t count(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  return std::distance(std::sregex_iterator(text.begin(), text.end(), regex), {});
}

double width_of(const std::string& picture, const std::string& title) {
  std::smatch match;
  const std::regex regex("width=\"([0-9.]+)\"[^>]*><title>" + title + "</title>");
  EXPECT_TRUE(std::regex_search(picture, match, regex)) << title;
  return match.empty() ? 0 : std::stod(match[1]);
}

TEST(PlanPicture, bars_are_as_long_as_their_bytes) {
  const std::string picture = picture_of({stage_of_roles({role()})}, 0);
  const double parameters = width_of(picture, "parameters: 400 B");
  EXPECT_NEAR(width_of(picture, "gradients: 300 B"), 0.75 * parameters, 0.1);
  EXPECT_NEAR(width_of(picture, "optimizer: 200 B"), 0.5 * parameters, 0.1);
  EXPECT_NEAR(width_of(picture, "activations: 100 B"), 0.25 * parameters, 0.1);
  EXPECT_EQ(picture.find("generation: "), std::string::npos) << "less than activations";
  EXPECT_NE(picture.find("1 kB</text>"), std::string::npos) << "the peak";
  EXPECT_NE(picture.find("dp2 &lt;&amp;&gt;"), std::string::npos);
}

TEST(PlanPicture, a_limit_beyond_the_bars_makes_room_for_itself) {
  const double alone = width_of(picture_of({stage_of_roles({role()})}, 0), "parameters: 400 B");
  const std::string picture = picture_of({stage_of_roles({role()})}, 2000);
  EXPECT_NEAR(width_of(picture, "parameters: 400 B"), alone / 2, 0.1);
  EXPECT_EQ(count(picture, "<line "), 1);
}

TEST(PlanPicture, a_schedule_has_every_forward_and_backward) {
  StageMemory stage = stage_of_roles({role()});
  stage.pipeline = {parallel::ScheduleKind::k1F1B, 3, 2};
  stage.micro_batches = 6;
  const std::string picture = picture_of({stage}, 0);
  EXPECT_EQ(count(picture, "<title>forward of micro-batch [0-5], chunk [01]<"), 3 * 2 * 6);
  EXPECT_EQ(count(picture, "<title>backward of micro-batch [0-5], chunk [01]<"), 3 * 2 * 6);
  stage.micro_batches = 600;
  EXPECT_EQ(count(picture_of({stage}, 0), "<title>forward"), 3 * 2 * 12) << "enough to see it";
}

}  // namespace
}  // namespace tandem::launcher
