#include "parallel/comm/shared/world.h"

#include <numeric>
#include <thread>

namespace tandem::parallel {

SharedWorld::SharedWorld(int ranks)
    : ranks_(ranks),
      board_memory_(SharedMemory::create(NodeBoard::bytes(ranks))),
      board_(board_memory_, reinterpret_cast<NodeBoard*>(board_memory_->data())),
      group_memory_(SharedMemory::create(Layout::bytes(ranks))) {}

Group SharedWorld::group_of(int rank) const {
  const bool crowded = ranks_ > static_cast<int>(std::thread::hardware_concurrency());
  std::vector<int> all(ranks_);
  std::iota(all.begin(), all.end(), 0);
  SharedNode node{std::make_shared<Endpoint>(crowded), board_, all};
  node.endpoint->use_board(board_, rank);
  auto group = std::make_shared<GroupState>();
  group->name = "world";
  group->rank = rank;
  group->world_ranks = all;
  return Group(
      std::make_shared<SharedCommunicator>(std::move(node), std::move(group), group_memory_));
}

void SharedWorld::fail(int rank) const {
  board_->failed_rank_plus_one.store(static_cast<std::uint32_t>(rank) + 1);
  for (int r = 0; r < ranks_; ++r) board_->bell(r).ring(kAnyNews);
}

}  // namespace tandem::parallel
