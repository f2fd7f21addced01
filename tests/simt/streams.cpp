#include "tests/simt/streams.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace simt {

void StreamQueue::push(std::function<void()> work, std::vector<Mark> after,
                       std::function<bool()> ready) {
  tasks_.push_back({std::move(work), std::move(after), std::move(ready)});
}

Mark StreamQueue::mark() {
  auto mark = std::make_shared<Place>(this, false);
  push([mark] { mark->passed = true; });
  return mark;
}

void StreamQueue::run_next() {
  const Task task = std::move(tasks_.front());
  tasks_.pop_front();
  for (const Mark& mark : task.after) simt::pass(mark);
  while (task.ready && !task.ready()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  task.work();
}

void StreamQueue::pass(const Mark& mark) {
  while (!mark->passed && !tasks_.empty()) run_next();
}

bool StreamQueue::try_pass(const Mark& mark) {
  while (!mark->passed && !tasks_.empty()) {
    const Task& next = tasks_.front();
    if (!std::ranges::all_of(next.after, simt::try_pass)) return false;
    if (next.ready && !next.ready()) return false;
    run_next();
  }
  return mark->passed;
}

bool StreamQueue::run_all() {
  if (tasks_.empty()) return false;
  while (!tasks_.empty()) run_next();
  return true;
}

void StreamQueue::run_ready() {
  const auto passed = [](const Mark& mark) { return mark->passed; };
  while (!tasks_.empty() && std::ranges::all_of(tasks_.front().after, passed)) run_next();
}

bool try_pass(const Mark& mark) {
  return mark->passed || mark->queue->try_pass(mark);
}

void pass(const Mark& mark) {
  if (!mark->passed) mark->queue->pass(mark);
}

}  // namespace simt
