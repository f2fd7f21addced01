// Every promise over ranks that are processes without MPI, and what their parent does when one
// ends. Checks that fail print in their process and end it with 1.
#include "parallel/comm/processes/processes.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "tests/parallel/comm/checks.h"

namespace tandem::parallel::testing {
namespace {

class Processes : public ::testing::TestWithParam<Check> {};

TEST_P(Processes, keep_the_promise) {
  const int exit_code = run_ranks_as_processes(3, [](const Group& world) {
    world.set_deadline(kTestDeadline);
    GetParam().run(world);
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(exit_code, 0);
}

std::vector<Check> checks() {
  auto checks = all_checks();
  checks.insert(checks.end(), failure_checks().begin(), failure_checks().end());
  return checks;
}

INSTANTIATE_TEST_SUITE_P(promises, Processes, ::testing::ValuesIn(checks()),
                         [](const auto& info) { return info.param.name; });

void sleep_for_ever() {
  while (true) std::this_thread::sleep_for(std::chrono::seconds(1));
}

TEST(ProcessWorld, gives_the_first_failing_ranks_exit_code_and_ends_the_others) {
  EXPECT_EQ(run_ranks_as_processes(3,
                                   [](const Group& world) {
                                     if (world.rank() != 1) sleep_for_ever();
                                     return 42;
                                   }),
            42);
}

TEST(ProcessWorld, names_a_rank_that_a_signal_ended) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_ranks_as_processes(3,
                                   [](const Group& world) {
                                     if (world.rank() == 2) raise(SIGKILL);
                                     sleep_for_ever();
                                     return 0;
                                   }),
            128 + SIGKILL);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "trainer: rank 2 was ended by signal 9 (Killed), and the other ranks with it\n");
}

volatile sig_atomic_t asked = 0;

TEST(ProcessWorld, passes_signals_on_to_every_rank) {
  const pid_t parent = getpid();
  EXPECT_EQ(run_ranks_as_processes(3,
                                   [parent](const Group& world) {
                                     signal(SIGTERM, [](int) { asked = 1; });
                                     world.barrier("all listen");
                                     if (world.rank() == 0) kill(parent, SIGTERM);
                                     while (asked == 0) std::this_thread::yield();
                                     return 0;
                                   }),
            0);
}

}  // namespace
}  // namespace tandem::parallel::testing
