#include "runtime/base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::runtime {
namespace {

using testing::HasSubstr;

TEST(Error, the_kind_decides_the_exit_code) {
  EXPECT_EQ(Error("x").exit_code(), 2);
  EXPECT_EQ(Error("x", ErrorKind::kEnvironment).exit_code(), 2);
  EXPECT_EQ(Error("x", ErrorKind::kInterrupted).exit_code(), 130);
}

TEST(Error, is_thrown_with_a_formatted_sentence) {
  try {
    throw_error("{}:{}: unknown key '{}'", "run.yaml", 7, "lerning_rate");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "run.yaml:7: unknown key 'lerning_rate'");
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  }
  try {
    throw_environment_error("disk {} is full", "/a");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "disk /a is full");
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
  }
}

TEST(Check, a_broken_invariant_names_place_condition_and_values) {
  const int ranks = 3;
  try {
    TANDEM_CHECK(ranks % 2 == 0, "{} ranks", ranks);
    FAIL() << "passed";
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(), HasSubstr("error_test.cpp"));
    EXPECT_THAT(error.what(), HasSubstr("ranks % 2 == 0"));
    EXPECT_THAT(error.what(), HasSubstr("3 ranks"));
  }
}

TEST(Check, evaluates_its_message_only_when_it_fails) {
  int formatted = 0;
  const auto count = [&] { return ++formatted; };
  TANDEM_CHECK(true, "{}", count());
  EXPECT_EQ(formatted, 0);
}

}  // namespace
}  // namespace tandem::runtime
