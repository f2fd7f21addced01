#include "parallel/comm/mpi/mpi_communicator.h"

#include "parallel/comm/engine/reduce.h"

namespace tandem::parallel {

using runtime::Tensor;

Work MpiCommunicator::start(std::shared_ptr<MpiOperation> operation) {
  shared_->transport.start(operation);
  return work_of(shared_->node.endpoint, std::move(operation));
}

Work MpiCommunicator::all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) {
  check_host_tensor(tensor, name);
  check_reducible(tensor, name);
  return start(mpi_all_reduce(group_, tensor, op, name));
}

Work MpiCommunicator::reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                                     std::string_view name) {
  check_host_tensor(input, name);
  check_reducible(input, name);
  return start(mpi_reduce_scatter(group_, input, output, op, name));
}

Work MpiCommunicator::all_gather(const Tensor& input, Tensor& output, std::string_view name) {
  check_host_tensor(input, name);
  return start(mpi_all_gather(group_, input, output, name));
}

Work MpiCommunicator::broadcast(Tensor& tensor, int root, std::string_view name) {
  check_host_tensor(tensor, name);
  return start(mpi_broadcast(group_, tensor, root, name));
}

Work MpiCommunicator::send(const Tensor& tensor, int peer, std::string_view name) {
  check_host_tensor(tensor, name);
  return start(mpi_message(group_, OperationKind::kSend, tensor, peer, name));
}

Work MpiCommunicator::recv(Tensor& tensor, int peer, std::string_view name) {
  check_host_tensor(tensor, name);
  return start(mpi_message(group_, OperationKind::kRecv, tensor, peer, name));
}

void MpiCommunicator::barrier(std::string_view name) {
  start(mpi_barrier(group_, name)).wait();
}

std::unique_ptr<Communicator> MpiCommunicator::split(int color, std::string_view name) {
  const Group parent = borrow(*this);
  const auto group = split_state(parent, *group_, color, name);
  // Groups of one split have no rank in common, so they may use the same context.
  const auto context =
      parent.all_reduce_scalar(std::int64_t{shared_->next_context}, ReduceOp::kMax, name);
  shared_->next_context = static_cast<int>(context) + 1;
  const bool one_machine = group != nullptr && shared_->node.holds(group->world_ranks);
  auto memory = share_memory(parent, *group_, one_machine ? group.get() : nullptr,
                             one_machine ? Layout::bytes(group->size()) : 0);
  if (group == nullptr) return nullptr;
  if (one_machine)
    return std::make_unique<SharedCommunicator>(shared_->node, group, std::move(memory));
  return std::make_unique<MpiCommunicator>(
      shared_, make_mpi_group(*group_, *group, static_cast<int>(context)));
}

SharedMpiGroup make_mpi_group(const MpiGroupState& parent, const GroupState& members, int context) {
  auto group = std::make_shared<MpiGroupState>();
  static_cast<GroupState&>(*group) = members;
  group->comm = parent.comm;
  group->tags = parent.tags;
  group->context = context;
  group->sent.resize(group->size());
  group->received.resize(group->size());
  return group;
}

}  // namespace tandem::parallel
