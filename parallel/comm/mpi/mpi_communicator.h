// The communicator of a group whose ranks sit on several machines.
#pragma once

#include <memory>

#include "parallel/comm/mpi/operations.h"
#include "parallel/comm/shared/shared.h"

namespace tandem::parallel {

// What all groups of this process share.
struct MpiShared {
  MpiTransport transport;
  SharedNode node;  // board: null while ranks of a machine do not share memory
  int next_context = 0;
};

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(std::shared_ptr<MpiShared> shared, SharedMpiGroup group)
      : shared_(std::move(shared)), group_(std::move(group)) {}

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
  void progress() override { shared_->node.endpoint->progress(); }
  void set_deadline(std::chrono::milliseconds deadline) override { group_->deadline = deadline; }

 private:
  Work start(std::shared_ptr<MpiOperation> operation);

  std::shared_ptr<MpiShared> shared_;
  SharedMpiGroup group_;
};

// A group with these members, over the transport of `parent`.
SharedMpiGroup make_mpi_group(const MpiGroupState& parent, const GroupState& members, int context);

}  // namespace tandem::parallel
