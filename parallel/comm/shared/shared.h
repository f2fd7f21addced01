// The communicator of ranks that share a machine, be they processes (mpi/) or threads (threads/).
#pragma once

#include <memory>
#include <vector>

#include "parallel/comm/shared/channel.h"

namespace tandem::parallel {

// This rank's place on its machine.
struct SharedNode {
  std::shared_ptr<Endpoint> endpoint;
  std::shared_ptr<NodeBoard> board;
  std::vector<int> bell_of_rank;  // by rank of the world; -1 for ranks of other machines

  bool holds(const std::vector<int>& world_ranks) const;
};

class SharedCommunicator : public Communicator {
 public:
  SharedCommunicator(SharedNode node, std::shared_ptr<GroupState> group,
                     std::shared_ptr<SharedMemory> memory);
  ~SharedCommunicator() override;

  int rank() const override { return group_->rank; }
  int size() const override { return group_->size(); }
  const std::string& name() const override { return group_->name; }

  Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) override;
  Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                      std::string_view name) override;
  Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                  std::string_view name) override;
  Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) override;
  Work send(const runtime::Tensor& tensor, int peer, std::string_view name) override;
  Work recv(runtime::Tensor& tensor, int peer, std::string_view name) override;
  void barrier(std::string_view name) override;
  std::unique_ptr<Communicator> split(int color, std::string_view name) override;
  void progress() override { node_.endpoint->progress(); }
  void set_deadline(std::chrono::milliseconds deadline) override { group_->deadline = deadline; }

 private:
  Work start(Request request, std::string_view name);

  SharedNode node_;
  std::shared_ptr<GroupState> group_;
  Channel channel_;
};

// Collective over `parent`: what a split of it starts with. The members of the new group, ordered
// by rank; with a negative color only the exchange takes part and the result is null.
std::shared_ptr<GroupState> split_state(const Group& parent, const GroupState& state, int color,
                                        std::string_view name);
// Collective over `parent`, of whose ranks each belongs to one `group` or to none (null): the
// lowest rank of every group makes memory that the others open. Null for ranks without a group.
// Throws on all ranks when one cannot open it.
std::shared_ptr<SharedMemory> share_memory(const Group& parent, const GroupState& state,
                                           const GroupState* group, std::size_t bytes);

}  // namespace tandem::parallel
