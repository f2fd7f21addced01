// Promises of runtime/metrics/progress.h and timers.h, with a clock that the test moves.
#include "runtime/metrics/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/metrics/timers.h"

namespace tandem::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Screen {
  double time = 0;
  std::vector<std::string> printed;

  ProgressOptions options(bool terminal) {
    ProgressOptions options;
    options.terminal = terminal;
    options.interval = 10;
    options.out = [this](std::string_view text) { printed.emplace_back(text); };
    options.clock = [this] { return time; };
    return options;
  }
};

void update(Progress& progress, std::int64_t step, std::int64_t tokens, double loss) {
  const Progress::Value values[] = {{"loss", loss}};
  progress.update(step, tokens, values);
}

TEST(Progress, plain_lines_come_once_per_interval_and_at_the_end) {
  Screen screen;
  Progress progress("pretrain", 100, 0, 0, screen.options(false));
  for (int step = 1; step <= 23; ++step) {
    screen.time = step;
    update(progress, step, step * 2140, 3.41159);
  }
  progress.finish();
  EXPECT_THAT(screen.printed, ElementsAre("pretrain  1/100  loss 3.412  2,140 tok/s  ETA 1:39\n",
                                          "pretrain  11/100  loss 3.412  2,140 tok/s  ETA 1:29\n",
                                          "pretrain  21/100  loss 3.412  2,140 tok/s  ETA 1:19\n",
                                          "pretrain  23/100  loss 3.412  2,140 tok/s  ETA 1:17\n"));
}

TEST(Progress, a_state_already_printed_is_not_printed_again) {
  Screen screen;
  Progress progress("sft", 1, 0, 0, screen.options(false));
  screen.time = 1;
  update(progress, 1, 0, 2.0);
  progress.finish();
  EXPECT_THAT(screen.printed, ElementsAre("sft  1/1  loss 2  ETA 0:00\n"));
}

TEST(Progress, terminal_line_is_redrawn_in_place_at_most_ten_times_a_second) {
  Screen screen;
  Progress progress("sft", 100, 0, 0, screen.options(true));
  for (int step = 1; step <= 100; ++step) {
    screen.time = step * 0.01;
    update(progress, step, step * 10, 2.0);
  }
  EXPECT_LE(screen.printed.size(), 11u);
  EXPECT_GE(screen.printed.size(), 9u);
  for (const std::string& line : screen.printed) {
    EXPECT_TRUE(line.starts_with("\r\033[K")) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  progress.finish();
  ASSERT_GE(screen.printed.size(), 2u);
  EXPECT_EQ(screen.printed[screen.printed.size() - 2],
            "\r\033[Ksft  ##################################  100/100  loss 2  1,000 tok/s  "
            "ETA 0:00\r");
  EXPECT_EQ(screen.printed.back(), "\n");
}

TEST(Progress, narrow_terminal_gets_no_bar_and_no_wrapped_line) {
  Screen screen;
  ProgressOptions options = screen.options(true);
  options.columns = 30;
  Progress progress("sft", 100, 0, 0, options);
  screen.time = 1;
  update(progress, 50, 100, 2.0);
  EXPECT_EQ(screen.printed.back(), "\r\033[Ksft  50/100  loss 2  100 tok/\r");
}

TEST(Progress, resumed_stage_counts_its_own_speed_only) {
  Screen screen;
  Progress progress("ppo", 100, 90, 9000, screen.options(false));
  screen.time = 2;
  update(progress, 91, 9050, 1.0);
  EXPECT_THAT(screen.printed.back(), HasSubstr("91/100  loss 1  25 tok/s  ETA 0:18"));
}

TEST(Progress, abandoned_terminal_line_is_ended) {
  Screen screen;
  {
    Progress progress("sft", 10, 0, 0, screen.options(true));
    screen.time = 1;
    update(progress, 1, 1, 1.0);
  }
  EXPECT_EQ(screen.printed.back(), "\n");
}

TEST(Timers, sum_by_name_and_start_again_after_take) {
  Timers timers;
  timers.add("forward", 1.5);
  timers.add("backward", 2.0);
  timers.add("forward", 0.5);
  EXPECT_THAT(timers.take(),
              ElementsAre(testing::Pair("forward", 2.0), testing::Pair("backward", 2.0)));
  EXPECT_TRUE(timers.entries().empty());
  { const ScopedTimer scope(timers, "step"); }
  EXPECT_GE(timers.get("step"), 0.0);
  EXPECT_EQ(timers.entries().size(), 1u);
  Counters counters;
  counters.add("tokens", 5);
  counters.add("tokens", 7);
  EXPECT_EQ(counters.get("tokens"), 12);
  EXPECT_EQ(counters.get("bytes"), 0);
}

TEST(Format, durations_and_thousands) {
  EXPECT_EQ(format_duration(7.4), "0:07");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(-1), "-");
  EXPECT_EQ(format_duration(INFINITY), "-");
  EXPECT_EQ(format_thousands(0), "0");
  EXPECT_EQ(format_thousands(-1234), "-1,234");
  EXPECT_EQ(format_thousands(999), "999");
  EXPECT_EQ(format_thousands(12345678), "12,345,678");
  EXPECT_EQ(format_thousands(std::numeric_limits<std::int64_t>::min()),
            "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace tandem::runtime
