// The emulated card's streams: queues of work, in which marks are passed that other queues wait
// for.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace simt {

class StreamQueue;

// A place in a queue.
struct Place {
  StreamQueue* queue = nullptr;
  bool passed = false;
};
using Mark = std::shared_ptr<Place>;

class StreamQueue {
 public:
  // `work` runs after what was pushed before, after the marks, and when it is ready (at once where
  // nothing is asked).
  void push(std::function<void()> work, std::vector<Mark> after = {},
            std::function<bool()> ready = {});
  // Behind what was pushed so far.
  Mark mark();
  // Runs this queue up to the mark, and other queues as far as that waits for them.
  void pass(const Mark& mark);
  // The same without waiting for what is not ready: whether the mark was passed.
  bool try_pass(const Mark& mark);
  // Everything, with what it waits for. Whether there was something.
  bool run_all();
  // What need not wait for other queues.
  void run_ready();

 private:
  struct Task {
    std::function<void()> work;
    std::vector<Mark> after;
    std::function<bool()> ready;
  };
  void run_next();

  std::deque<Task> tasks_;
};

// In whatever queue the mark is.
void pass(const Mark& mark);
bool try_pass(const Mark& mark);

}  // namespace simt
