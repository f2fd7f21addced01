// Hands work from server threads to the one thread that may touch models and communicators.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace tandem::launcher {

struct Task {
  std::string name;
  // Runs on the working thread; must not throw.
  std::function<void()> work;
  // Called instead of `work` where the queue closed first.
  std::function<void()> refuse;
};

class TaskQueue {
 public:
  // From any thread. Refuses at once when closed.
  void push(Task task);
  // The next task, or nothing after `patience`.
  std::optional<Task> pop(std::chrono::milliseconds patience);
  // Refuses what waits and what comes.
  void close();

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<Task> tasks_;
  bool closed_ = false;
};

}  // namespace tandem::launcher
