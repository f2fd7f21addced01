// A thread of execution that is switched by hand: a stack and a place in it.
#pragma once

#include <cstddef>

namespace simt {

class Fiber {
 public:
  using Body = void (*)(Fiber&);

  // `body` must not return: it ends with an endless loop of leave().
  explicit Fiber(Body body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From the scheduler: runs the fiber until it leaves.
  void enter();
  // From the fiber: back to the scheduler.
  void leave();

 private:
  static void start(Fiber* fiber);

  Body body_;
  char* stack_;
  void* own_ = nullptr;        // stack pointer while it does not run
  void* scheduler_ = nullptr;  // the scheduler's meanwhile
  // For AddressSanitizer, which must know which stack is in use.
  void* own_fake_ = nullptr;
  void* scheduler_fake_ = nullptr;
  const void* scheduler_bottom_ = nullptr;
  std::size_t scheduler_size_ = 0;
};

}  // namespace simt
