#include "launcher/roles/task_queue.h"

namespace tandem::launcher {

void TaskQueue::push(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      tasks_.push_back(std::move(task));
      filled_.notify_one();
      return;
    }
  }
  task.refuse();
}

std::optional<Task> TaskQueue::pop(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!filled_.wait_for(lock, patience, [this] { return !tasks_.empty(); })) return std::nullopt;
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

void TaskQueue::close() {
  std::deque<Task> refused;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    refused.swap(tasks_);
  }
  for (Task& task : refused) task.refuse();
}

}  // namespace tandem::launcher
