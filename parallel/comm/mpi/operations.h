// Collectives over messages between machines. Every algorithm exchanges directly with all peers,
// because only then can sums be taken in rank order; large tensors go in chunks, several of which
// fly at once.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "parallel/comm/engine/endpoint.h"
#include "parallel/comm/mpi/exchange.h"

namespace tandem::parallel {

// A group as this transport knows it.
struct MpiGroupState : GroupState {
  MPI_Comm comm = MPI_COMM_NULL;  // the world; groups are kept apart by tags
  TagSpace tags;
  int context = 0;
  std::uint64_t collectives = 0;              // started so far
  std::vector<std::uint64_t> sent, received;  // messages so far, by peer
};

class MpiOperation : public Operation {
 public:
  using Operation::Operation;
  // Does what can be done without waiting; true if anything moved.
  virtual bool advance() = 0;
};

// All operations of this rank that are in flight.
class MpiTransport : public Source {
 public:
  bool advance() override;
  News wanted() const override { return active_.empty() ? kNoNews : kMustPoll; }
  // Posts its first messages.
  void start(std::shared_ptr<MpiOperation> operation);

 private:
  std::vector<std::shared_ptr<MpiOperation>> active_;
  std::vector<std::shared_ptr<MpiOperation>>
      failed_;  // kept, because their messages may still land
};

using SharedMpiGroup = std::shared_ptr<MpiGroupState>;

std::shared_ptr<MpiOperation> mpi_all_reduce(SharedMpiGroup group, const runtime::Tensor& tensor,
                                             ReduceOp op, std::string_view name);
std::shared_ptr<MpiOperation> mpi_reduce_scatter(SharedMpiGroup group, const runtime::Tensor& input,
                                                 const runtime::Tensor& output, ReduceOp op,
                                                 std::string_view name);
std::shared_ptr<MpiOperation> mpi_all_gather(SharedMpiGroup group, const runtime::Tensor& input,
                                             const runtime::Tensor& output, std::string_view name);
std::shared_ptr<MpiOperation> mpi_broadcast(SharedMpiGroup group, const runtime::Tensor& tensor,
                                            int root, std::string_view name);
std::shared_ptr<MpiOperation> mpi_barrier(SharedMpiGroup group, std::string_view name);
std::shared_ptr<MpiOperation> mpi_message(SharedMpiGroup group, OperationKind kind,
                                          const runtime::Tensor& tensor, int peer,
                                          std::string_view name);

}  // namespace tandem::parallel
