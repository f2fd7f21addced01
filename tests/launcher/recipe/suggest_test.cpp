#include "launcher/recipe/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace tandem::launcher {
namespace {

TEST(EditDistance, counts_the_four_kinds_of_slip) {
  EXPECT_EQ(edit_distance("steps", "steps"), 0);
  EXPECT_EQ(edit_distance("step", "steps"), 1);
  EXPECT_EQ(edit_distance("stteps", "steps"), 1);
  EXPECT_EQ(edit_distance("stebs", "steps"), 1);
  EXPECT_EQ(edit_distance("setps", "steps"), 1);
  EXPECT_EQ(edit_distance("", "steps"), 5);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(Suggestion, is_the_closest_or_none) {
  const std::vector<std::string> keys = {"steps", "epochs", "log_every"};
  EXPECT_EQ(suggestion("epoch", keys), " (did you mean 'epochs'?)");
  EXPECT_EQ(suggestion("setps", keys), " (did you mean 'steps'?)");
  EXPECT_EQ(suggestion("learning_rate", keys), "");
  EXPECT_EQ(suggestion("x", {}), "");
}

}  // namespace
}  // namespace tandem::launcher
