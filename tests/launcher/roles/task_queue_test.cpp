#include "launcher/roles/task_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tandem::launcher {
namespace {

using std::chrono::milliseconds;

class TaskQueueTest : public testing::Test {
 protected:
  Task task(const std::string& name) {
    return {.name = name,
            .work = [this, name] { happened_.push_back("did " + name); },
            .refuse = [this, name] { happened_.push_back("refused " + name); }};
  }

  TaskQueue queue_;
  std::vector<std::string> happened_;
};

TEST_F(TaskQueueTest, hands_out_in_order) {
  queue_.push(task("a"));
  queue_.push(task("b"));
  for (int i = 0; i < 2; ++i) queue_.pop(milliseconds(0))->work();
  EXPECT_FALSE(queue_.pop(milliseconds(1)).has_value());
  EXPECT_THAT(happened_, testing::ElementsAre("did a", "did b"));
}

TEST_F(TaskQueueTest, wakes_who_waits) {
  std::jthread other([this] {
    std::this_thread::sleep_for(milliseconds(20));
    queue_.push(task("a"));
  });
  EXPECT_EQ(queue_.pop(milliseconds(20000))->name, "a");
}

TEST_F(TaskQueueTest, closed_refuses_what_waits_and_what_comes) {
  queue_.push(task("a"));
  queue_.close();
  queue_.push(task("b"));
  EXPECT_FALSE(queue_.pop(milliseconds(0)).has_value());
  EXPECT_THAT(happened_, testing::ElementsAre("refused a", "refused b"));
}

}  // namespace
}  // namespace tandem::launcher
