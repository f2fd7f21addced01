// The world of ranks that all sit on one machine and share memory from the start: threads of one
// process (threads/), or processes that one has forked (processes/).
#pragma once

#include <memory>

#include "parallel/comm/shared/shared.h"

namespace tandem::parallel {

class SharedWorld {
 public:
  explicit SharedWorld(int ranks);

  int size() const { return ranks_; }
  // Called by rank `rank` itself, once.
  Group group_of(int rank) const;
  // Releases every rank that waits, with an error that names this one.
  void fail(int rank) const;

 private:
  int ranks_;
  std::shared_ptr<SharedMemory> board_memory_;
  std::shared_ptr<NodeBoard> board_;
  std::shared_ptr<SharedMemory> group_memory_;
};

}  // namespace tandem::parallel
