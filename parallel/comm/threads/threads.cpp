#include "parallel/comm/threads/threads.h"

#include <exception>
#include <mutex>
#include <thread>

#include "parallel/comm/shared/world.h"

namespace tandem::parallel {

namespace {

// The ranks of one call; the first failure among them is kept.
class ThreadWorld {
 public:
  explicit ThreadWorld(int ranks) : world_(ranks) {}

  void run_rank(int rank, const std::function<void(const Group&)>& body) {
    try {
      body(world_.group_of(rank));
    } catch (...) {
      fail(rank, std::current_exception());
    }
  }

  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void fail(int rank, std::exception_ptr failure) {
    {
      const std::lock_guard lock(mutex_);
      if (failure_) return;
      failure_ = std::move(failure);
    }
    world_.fail(rank);
  }

  SharedWorld world_;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

void run_ranks_as_threads(int ranks, const std::function<void(const Group& world)>& body) {
  TANDEM_CHECK(ranks >= 1, "{} ranks cannot run", ranks);
  ThreadWorld world(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&world, &body, rank] { world.run_rank(rank, body); });
  for (std::thread& thread : threads) thread.join();
  world.rethrow_failure();
}

}  // namespace tandem::parallel
