// The recipes that people run are sound. Data and models that are made on the user's machine may be
// missing here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "launcher/recipe/writer.h"
#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

bool is_made_by_the_user(const std::string& problem) {
  return problem.find("no such file: data/demo/") != problem.npos ||
         problem.find("no such directory: runs/") != problem.npos ||
         problem.find("no such directory: data/models/") != problem.npos;
}

TEST(ShippedRecipes, have_no_problem_on_eight_ranks) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator("recipes")) {
    if (entry.path().extension() != ".yaml") continue;
    ++seen;
    std::vector<std::string> problems = find_problems(load_recipe(entry.path(), {}, 8), 8);
    std::erase_if(problems, is_made_by_the_user);
    EXPECT_THAT(problems, testing::IsEmpty()) << entry.path();
  }
  EXPECT_GE(seen, 10);
}

TEST(ShippedRecipes, read_again_as_they_were_resolved) {
  for (const auto& entry : std::filesystem::directory_iterator("recipes")) {
    if (entry.path().extension() != ".yaml") continue;
    const std::string text = to_yaml(load_recipe(entry.path(), {}, 8));
    EXPECT_EQ(to_yaml(parse_recipe(text, entry.path().string(), {}, 8)), text);
  }
}

}  // namespace
}  // namespace tandem::launcher
