#include "parallel/comm/threads/threads.h"

#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "parallel/comm/shared/shared.h"

namespace tandem::parallel {

namespace {

// The ranks of one call: they live on one board, and the first failure among them is kept.
class ThreadWorld {
 public:
  explicit ThreadWorld(int ranks)
      : ranks_(ranks),
        board_memory_(SharedMemory::create(NodeBoard::bytes(ranks))),
        board_(board_memory_, reinterpret_cast<NodeBoard*>(board_memory_->data())),
        group_memory_(SharedMemory::create(Layout::bytes(ranks))) {}

  void run_rank(int rank, const std::function<void(const Group&)>& body) {
    try {
      body(Group(communicator_of(rank)));
    } catch (...) {
      fail(rank, std::current_exception());
    }
  }

  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::shared_ptr<Communicator> communicator_of(int rank) const {
    const bool crowded = ranks_ > static_cast<int>(std::thread::hardware_concurrency());
    std::vector<int> all(ranks_);
    std::iota(all.begin(), all.end(), 0);
    SharedNode node{std::make_shared<Endpoint>(crowded), board_, all};
    node.endpoint->use_board(board_, rank);
    auto group = std::make_shared<GroupState>();
    group->name = "world";
    group->rank = rank;
    group->world_ranks = all;
    return std::make_shared<SharedCommunicator>(std::move(node), std::move(group), group_memory_);
  }

  void fail(int rank, std::exception_ptr failure) {
    {
      const std::lock_guard lock(mutex_);
      if (failure_) return;
      failure_ = std::move(failure);
    }
    board_->failed_rank_plus_one.store(static_cast<std::uint32_t>(rank) + 1);
    for (int r = 0; r < ranks_; ++r) board_->bell(r).ring(kAnyNews);
  }

  int ranks_;
  std::shared_ptr<SharedMemory> board_memory_;
  std::shared_ptr<NodeBoard> board_;
  std::shared_ptr<SharedMemory> group_memory_;
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
