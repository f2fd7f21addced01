#include "parallel/comm/shared/shared.h"

#include <algorithm>

namespace tandem::parallel {

using runtime::Tensor;

namespace {

Bells bells_of(const SharedNode& node, const GroupState& group) {
  std::vector<int> bells;
  for (const int rank : group.world_ranks) bells.push_back(node.bell_of_rank[rank]);
  return Bells(node.board, bells, group.rank);
}

}  // namespace

bool SharedNode::holds(const std::vector<int>& world_ranks) const {
  return board != nullptr && std::all_of(world_ranks.begin(), world_ranks.end(),
                                         [this](int rank) { return bell_of_rank[rank] >= 0; });
}

SharedCommunicator::SharedCommunicator(SharedNode node, std::shared_ptr<GroupState> group,
                                       std::shared_ptr<SharedMemory> memory)
    : node_(std::move(node)),
      group_(std::move(group)),
      channel_(group_, std::move(memory), bells_of(node_, *group_)) {
  node_.endpoint->add(&channel_);
}

SharedCommunicator::~SharedCommunicator() {
  node_.endpoint->remove(&channel_);
}

Work SharedCommunicator::start(Request request, std::string_view name) {
  if (request.input.defined()) check_host_tensor(request.input, name);
  return work_of(node_.endpoint, channel_.start(std::move(request), name));
}

Work SharedCommunicator::all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) {
  check_reducible(tensor, name);
  return start({OperationKind::kAllReduce, tensor, tensor, op}, name);
}

Work SharedCommunicator::reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                                        std::string_view name) {
  check_reducible(input, name);
  return start({OperationKind::kReduceScatter, input, output, op}, name);
}

Work SharedCommunicator::all_gather(const Tensor& input, Tensor& output, std::string_view name) {
  return start({OperationKind::kAllGather, input, output}, name);
}

Work SharedCommunicator::broadcast(Tensor& tensor, int root, std::string_view name) {
  return start({OperationKind::kBroadcast, tensor, tensor, ReduceOp::kSum, root}, name);
}

Work SharedCommunicator::send(const Tensor& tensor, int peer, std::string_view name) {
  check_host_tensor(tensor, name);
  return work_of(node_.endpoint, channel_.start_message(OperationKind::kSend, tensor, peer, name));
}

Work SharedCommunicator::recv(Tensor& tensor, int peer, std::string_view name) {
  check_host_tensor(tensor, name);
  return work_of(node_.endpoint, channel_.start_message(OperationKind::kRecv, tensor, peer, name));
}

void SharedCommunicator::barrier(std::string_view name) {
  start({OperationKind::kBarrier, {}, {}}, name).wait();
}

std::unique_ptr<Communicator> SharedCommunicator::split(int color, std::string_view name) {
  const Group parent = borrow(*this);
  auto group = split_state(parent, *group_, color, name);
  auto memory =
      share_memory(parent, *group_, group.get(), group ? Layout::bytes(group->size()) : 0);
  if (!group) return nullptr;
  return std::make_unique<SharedCommunicator>(node_, std::move(group), std::move(memory));
}

std::shared_ptr<GroupState> split_state(const Group& parent, const GroupState& state, int color,
                                        std::string_view name) {
  Tensor colors = Tensor::empty({parent.size()}, runtime::DType::kI32);
  parent.all_gather(Tensor::from(std::vector<std::int32_t>{color}, {1}), colors, name).wait();
  if (color < 0) return nullptr;
  auto group = std::make_shared<GroupState>();
  group->name = name;
  group->deadline = state.deadline;
  for (int r = 0; r < parent.size(); ++r) {
    if (colors.span<std::int32_t>()[r] != color) continue;
    if (r == parent.rank()) group->rank = group->size();
    group->world_ranks.push_back(state.world_ranks[r]);
  }
  return group;
}

std::shared_ptr<SharedMemory> share_memory(const Group& parent, const GroupState& state,
                                           const GroupState* group, std::size_t bytes) {
  std::shared_ptr<SharedMemory> memory;
  if (group != nullptr && group->rank == 0) memory = SharedMemory::create(bytes);
  const auto addresses = parent.all_gather_strings(memory ? memory->address() : "", "share memory");
  if (group != nullptr && group->rank > 0) {
    const auto leader =
        std::find(state.world_ranks.begin(), state.world_ranks.end(), group->world_ranks[0]);
    memory = SharedMemory::open(addresses[leader - state.world_ranks.begin()]);
  }
  const bool opened = group == nullptr || memory != nullptr;
  const auto all_opened =
      parent.all_reduce_scalar(std::int64_t{opened}, ReduceOp::kMin, "share memory");
  if (all_opened == 0)
    runtime::throw_environment_error(
        "group '{}': ranks of one machine cannot open each other's memory; set "
        "TANDEM_SHARED_MEMORY=off",
        group != nullptr ? group->name : parent.name());
  if (memory) memory->close_address();
  return memory;
}

}  // namespace tandem::parallel
