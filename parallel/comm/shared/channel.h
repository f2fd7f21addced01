// The collectives of a group whose ranks share a machine.
//
// Every collective is cut into chunks, and the chunks of all collectives of the group form one
// stream, equal on all ranks. A rank takes each chunk through three stages, in order: publish (copy
// its input into its slot), reduce (sum its slice over all slots; large all-reduces only) and
// consume (copy or sum the others' slots into the output). A stage of a chunk may run once all
// ranks have passed the stage before it, and a slot is written again once all ranks have consumed
// it. Counters in shared memory say who is where; the last rank to pass a stage wakes those who
// sleep.
//
// Cost of an all-reduce of n bytes over p ranks, per rank: small (one stage): n copied, p·n read.
// Large: n·(p-1)/p copied in, n read to sum 1/p of the elements, n·(p-1)/p copied out.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "parallel/comm/engine/endpoint.h"
#include "parallel/comm/shared/bells.h"
#include "parallel/comm/shared/layout.h"
#include "parallel/comm/shared/memory.h"
#include "parallel/comm/shared/peer_rings.h"

namespace tandem::parallel {

// What one rank asks of a collective. input and output may be the same tensor, or overlap as
// communicator.h allows.
struct Request {
  OperationKind kind;
  runtime::Tensor input;
  runtime::Tensor output;
  ReduceOp op = ReduceOp::kSum;
  int root = -1;
};

class Channel : public Source {
 public:
  // `memory` holds Layout::bytes(group size) zeroed bytes.
  Channel(std::shared_ptr<GroupState> group, std::shared_ptr<SharedMemory> memory, Bells bells);
  ~Channel() override;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  std::shared_ptr<Operation> start(Request request, std::string_view name);
  std::shared_ptr<Operation> start_message(OperationKind kind, const runtime::Tensor& tensor,
                                           int peer, std::string_view name);

  bool advance() override;
  News wanted() const override;

 private:
  class Transfer;
  enum Stage { kPublish, kReduce, kConsume };
  // Where a stage stands in the stream.
  struct Cursor {
    std::uint64_t chunk = 0;   // the next one
    std::size_t transfer = 0;  // of the queue, to which it belongs
  };

  bool publish();
  bool reduce();
  bool consume();
  bool ready_to_consume(const Transfer& transfer, std::uint64_t chunk);
  void check_descriptors(const Transfer& transfer, std::uint64_t chunk) const;

  std::atomic<std::uint64_t>& counter(Stage stage, int rank) const;
  bool all_passed(Stage stage, std::uint64_t chunk);
  // Counts the cursor's chunk as passed by this rank, and wakes the others when that was what they
  // waited for: that all ranks pass, or that this one does.
  enum class Waiting { kForAll, kForMe, kNobody };
  void pass(Stage stage, Waiting others);
  std::vector<int> ranks_behind(Stage stage, std::uint64_t chunk) const;
  std::vector<int> missing_peers() const;

  std::shared_ptr<GroupState> group_;
  std::shared_ptr<SharedMemory> memory_;
  Layout layout_;
  Bells bells_;
  PeerRings rings_;
  std::deque<std::shared_ptr<Transfer>> queue_;  // not yet consumed to the end
  std::array<Cursor, 3> cursors_;
  std::array<std::uint64_t, 3> slowest_{};  // lower bounds of the counters over all ranks
  std::uint64_t next_chunk_ = 0;
  std::uint64_t transfers_ = 0;
};

}  // namespace tandem::parallel
