// The scheduler: one block at a time, its threads as fibers.
#include "tests/simt/emulator.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "tests/simt/fiber.h"
#include "tests/simt/memory.h"
#include "tests/simt/scheduler.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace simt {
namespace {

enum class State { kReady, kBarrier, kWarp, kDone };

struct Thread {
  std::unique_ptr<Fiber> fiber;
  uint3 index{};
  State state = State::kDone;
  Site site{};
  int value = 0;  // given to a barrier
};

// Values of a warp operation. Two buffers in turn: a lane that goes on may give its next value
// before a slower lane has read.
struct Warp {
  std::array<std::array<std::uint64_t, 32>, 2> values{};
  unsigned turn = 0, arrived = 0, mask = 0;
  Site site{};
};

std::string text_of(const Site& site) {
  const std::string_view file = site.file_name();
  return fmt::format("{}:{}", file.substr(file.rfind('/') + 1), site.line());
}

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name());
}

class Scheduler {
 public:
  void run(const Launch& launch) {
    kernel_ = launch.name;
    body_ = &launch.thread;
    gridDim = launch.grid;
    blockDim = launch.block;
    const std::size_t blocks =
        static_cast<std::size_t>(launch.grid.x) * launch.grid.y * launch.grid.z;
    for (const std::size_t block : in_order(blocks)) {
      const auto b = static_cast<unsigned>(block);
      blockIdx = {b % launch.grid.x, b / launch.grid.x % launch.grid.y,
                  b / launch.grid.x / launch.grid.y};
      prepare_shared_memory(launch.shared);
      run_block(launch.block);
      check_shared_memory(launch.shared, kernel_);
    }
  }

  int barrier(int value, const Site& site) {
    Thread& thread = threads_[current_];
    thread.value = value;
    wait(State::kBarrier, site);
    return barrier_value_;
  }

  const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const Site& site) {
    Warp& warp = warps_[current_ / 32];
    const unsigned lane = current_ % 32;
    const std::size_t turn = warp.turn;
    if ((mask >> lane & 1u) == 0)
      fail(fmt::format("lane {} is not in the mask {:#x} that it gave at {}", lane, mask,
                       text_of(site)));
    if (warp.arrived == 0) {
      warp.mask = mask;
      warp.site = site;
    } else if (warp.mask != mask || !same(warp.site, site)) {
      fail(fmt::format("lanes of a warp exchange at {} and at {}", text_of(warp.site),
                       text_of(site)));
    }
    warp.values[turn][lane] = value;
    warp.arrived |= 1u << lane;
    if (warp.arrived == mask) {
      warp.arrived = 0;
      warp.turn ^= 1u;
      for (std::size_t i = current_ / 32 * 32; i < std::min(count_, current_ / 32 * 32 + 32); ++i)
        if (threads_[i].state == State::kWarp) threads_[i].state = State::kReady;
    } else {
      wait(State::kWarp, site);
    }
    return warp.values[turn].data();
  }

  unsigned lane() const { return static_cast<unsigned>(current_ % 32); }

  Order order = Order::kForward;

 private:
  void run_block(const dim3& block) {
    count_ = static_cast<std::size_t>(block.x) * block.y * block.z;
    while (threads_.size() < count_) {
      threads_.emplace_back();
      threads_.back().fiber = std::make_unique<Fiber>(&Scheduler::thread_main);
    }
    warps_.assign(count_ / 32 + 1, Warp{});
    for (std::size_t i = 0; i < count_; ++i) {
      const auto linear = static_cast<unsigned>(i);
      threads_[i].index = {linear % block.x, linear / block.x % block.y,
                           linear / block.x / block.y};
      threads_[i].state = State::kReady;
    }
    const std::vector<std::size_t> order_of_threads = in_order(count_);
    done_ = waiting_ = 0;
    while (done_ < count_) {
      bool progress = false;
      for (const std::size_t i : order_of_threads)
        while (threads_[i].state == State::kReady) {
          progress = true;
          resume(i);
        }
      if (waiting_ > 0 && waiting_ + done_ == count_) {
        release_barrier();
        progress = true;
      }
      if (!progress) report_deadlock();
    }
  }

  void resume(std::size_t i) {
    current_ = i;
    threadIdx = threads_[i].index;
    threads_[i].fiber->enter();
    if (failure_ == nullptr) return;
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    abandon();
    std::rethrow_exception(failure);
  }

  void release_barrier() {
    const Site* first = nullptr;
    barrier_value_ = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      Thread& thread = threads_[i];
      if (thread.state == State::kDone)
        abandon(fmt::format("thread {} has left while others wait at a barrier", i));
      if (first == nullptr) first = &thread.site;
      if (!same(*first, thread.site))
        abandon(fmt::format("threads wait at the barriers {} and {}", text_of(*first),
                            text_of(thread.site)));
      barrier_value_ |= thread.value;
    }
    for (std::size_t i = 0; i < count_; ++i) threads_[i].state = State::kReady;
    waiting_ = 0;
  }

  [[noreturn]] void report_deadlock() {
    std::string text = "threads wait for others that do not come:";
    for (std::size_t i = 0, said = 0; i < count_ && said < 4; ++i) {
      const Thread& thread = threads_[i];
      if (thread.state != State::kWarp && thread.state != State::kBarrier) continue;
      text += fmt::format(" thread {} at the {} {}", i,
                          thread.state == State::kWarp ? "warp operation" : "barrier",
                          text_of(thread.site));
      ++said;
    }
    abandon(text);
  }

  std::string place() const {
    return fmt::format("kernel {}, block ({}, {}, {})", kernel_, blockIdx.x, blockIdx.y,
                       blockIdx.z);
  }

  // In a fiber.
  [[noreturn]] void fail(const std::string& text) const {
    throw Violation(fmt::format("{}: {}", place(), text));
  }

  // In the scheduler: fibers that are in the middle of a kernel cannot be used again.
  void abandon() { threads_.clear(); }
  [[noreturn]] void abandon(const std::string& text) {
    const std::string message = fmt::format("{}: {}", place(), text);
    abandon();
    throw Violation(message);
  }

  void wait(State state, const Site& site) {
    Thread& thread = threads_[current_];
    thread.state = state;
    thread.site = site;
    if (state == State::kBarrier) ++waiting_;
    thread.fiber->leave();
  }

  std::vector<std::size_t> in_order(std::size_t count) {
    std::vector<std::size_t> result(count);
    std::iota(result.begin(), result.end(), 0u);
    if (order == Order::kReversed) std::ranges::reverse(result);
    if (order == Order::kShuffled) std::ranges::shuffle(result, random_);
    return result;
  }

  static void thread_main(Fiber& fiber);

  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::string kernel_;
  const std::function<void()>* body_ = nullptr;
  std::size_t count_ = 0, current_ = 0, done_ = 0, waiting_ = 0;
  int barrier_value_ = 0;
  std::exception_ptr failure_;
  std::mt19937 random_{1};
};

Scheduler& scheduler() {
  static Scheduler instance;
  return instance;
}

void Scheduler::thread_main(Fiber& fiber) {
  Scheduler& self = scheduler();
  while (true) {
    try {
      (*self.body_)();
    } catch (...) {
      self.failure_ = std::current_exception();
    }
    self.threads_[self.current_].state = State::kDone;
    ++self.done_;
    fiber.leave();
  }
}

}  // namespace

int barrier(int value, const Site& site) {
  return scheduler().barrier(value, site);
}
const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const Site& site) {
  return scheduler().exchange(mask, value, site);
}
unsigned lane() {
  return scheduler().lane();
}
void set_order(Order order) {
  scheduler().order = order;
}
void run(const Launch& launch) {
  scheduler().run(launch);
}

}  // namespace simt
