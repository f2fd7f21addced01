// Learning rates, step by step, against transformers' schedules.
#include "runtime/optim/schedule.h"

#include <nlohmann/json.hpp>

#include "tests/support/golden.h"

namespace tandem::test {
namespace {

using runtime::Schedule;
using runtime::schedule_factor;
using runtime::ScheduleKind;

struct Case {
  std::string list;
  ScheduleKind kind;
  bool warmup, minimum;
};

class Schedules : public testing::TestWithParam<Case> {};

TEST_P(Schedules, equal_transformers_also_beyond_the_end) {
  const auto json = golden_json("optim.json")["schedules"];
  const double peak = json["lr"];
  const Schedule schedule{
      .kind = GetParam().kind,
      .warmup_steps = GetParam().warmup ? json["warmup_steps"].get<int>() : 0,
      .total_steps = json["total_steps"],
      .min_ratio = GetParam().minimum ? json["min_lr"].get<double>() / peak : 0};
  const std::vector<double> expected = json["lists"][GetParam().list];
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(schedule.total_steps) + 2);
  for (std::size_t step = 0; step < expected.size(); ++step)
    EXPECT_NEAR(peak * schedule_factor(schedule, static_cast<std::int64_t>(step)), expected[step],
                1e-12)
        << "step " << step;
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Schedules,
    testing::Values(Case{"constant", ScheduleKind::kConstant, true, false},
                    Case{"linear", ScheduleKind::kLinear, true, false},
                    Case{"cosine", ScheduleKind::kCosine, true, false},
                    Case{"cosine_with_min_lr", ScheduleKind::kCosine, true, true},
                    Case{"cosine_no_warmup", ScheduleKind::kCosine, false, false}),
    [](const auto& info) { return info.param.list; });

TEST(Schedule, of_degenerate_lengths_is_finite_and_within_bounds) {
  for (const ScheduleKind kind :
       {ScheduleKind::kConstant, ScheduleKind::kLinear, ScheduleKind::kCosine})
    for (const std::int64_t warmup : {0, 1, 5})
      for (const std::int64_t total : {0, 1, 5})
        for (std::int64_t step = 0; step < 12; ++step) {
          const double factor =
              schedule_factor({.kind = kind, .warmup_steps = warmup, .total_steps = total}, step);
          EXPECT_GE(factor, 0.0);
          EXPECT_LE(factor, 1.0);
        }
}

}  // namespace
}  // namespace tandem::test
