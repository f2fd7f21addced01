// Groups of ranks that do not run: what a step on the meta device talks to. Their collectives take
// meta tensors, move nothing, and say to whoever observes the thread's transfers what would have
// moved, and when the rank waited for it; the planner makes times of it.
#pragma once

#include <cstdint>
#include <string>

#include "parallel/comm/communicator.h"
#include "parallel/comm/engine/operation.h"

namespace tandem::parallel {

struct Transfer {
  OperationKind kind = OperationKind::kAllReduce;
  std::int64_t bytes = 0;  // of the whole tensor: what a reduce-scatter starts from, what an
                           // all-gather ends in
  int ranks = 1;           // of the group
  int stride = 1;          // how far apart its neighbours are in the numbering of all ranks
  std::string group;       // its name
};

class TransferObserver {
 public:
  virtual ~TransferObserver() = default;
  // A number by which on_wait() means this transfer.
  virtual std::int64_t on_start(const Transfer& transfer) = 0;
  virtual void on_wait(std::int64_t transfer) = 0;
};

// Lets an observer see what this thread's groups on paper are asked for.
class TransferObserverScope {
 public:
  explicit TransferObserverScope(TransferObserver* observer);
  ~TransferObserverScope();
  TransferObserverScope(const TransferObserverScope&) = delete;
  TransferObserverScope& operator=(const TransferObserverScope&) = delete;

 private:
  TransferObserver* previous_;
};

}  // namespace tandem::parallel
