#include "runtime/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string logged(int rank, int world_size, LogLevel level) {
  configure_logging(rank, world_size, level);
  testing::internal::CaptureStderr();
  log_debug("a debug line");
  log_info("an info line with {}", 42);
  log_warning("a warning");
  log_error("an error");
  std::string text = testing::internal::GetCapturedStderr();
  configure_logging(0, 1);
  return text;
}

TEST(Log, one_rank_says_everything_from_its_level_upwards_without_a_prefix) {
  const std::string text = logged(0, 1, LogLevel::kInfo);
  EXPECT_THAT(text, HasSubstr("an info line with 42\n"));
  EXPECT_THAT(text, HasSubstr("an error"));
  EXPECT_THAT(text, Not(HasSubstr("a debug line")));
  EXPECT_THAT(text, Not(HasSubstr("rank")));
  EXPECT_THAT(logged(0, 1, LogLevel::kDebug), HasSubstr("a debug line"));
}

TEST(Log, other_ranks_warn_only_and_name_themselves) {
  const std::string text = logged(3, 8, LogLevel::kDebug);
  EXPECT_THAT(text, HasSubstr("[rank 3] a warning"));
  EXPECT_THAT(text, Not(HasSubstr("an info line")));
  EXPECT_THAT(logged(3, 8, LogLevel::kError), Not(HasSubstr("a warning")));
}

TEST(Log, braces_in_a_message_are_text) {
  configure_logging(0, 1);
  testing::internal::CaptureStderr();
  log_message(LogLevel::kWarning, "{not a format}");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("{not a format}"));
}

}  // namespace
}  // namespace tandem::runtime
