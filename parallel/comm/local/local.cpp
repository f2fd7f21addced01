#include "parallel/comm/local/local.h"

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::Tensor;

namespace {

void copy_unless_same(const Tensor& from, Tensor& to) {
  if (from.raw() != to.raw()) runtime::backend_of(from).copy(from, to);
}

}  // namespace

Work LocalCommunicator::all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) {
  return {};
}

Work LocalCommunicator::reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                                       std::string_view name) {
  copy_unless_same(input, output);
  return {};
}

Work LocalCommunicator::all_gather(const Tensor& input, Tensor& output, std::string_view name) {
  copy_unless_same(input, output);
  return {};
}

Work LocalCommunicator::broadcast(Tensor& tensor, int root, std::string_view name) {
  return {};
}

Work LocalCommunicator::send(const Tensor& tensor, int peer, std::string_view name) {
  TANDEM_CHECK(false, "send '{}': a group of one rank has no peer", name);
  return {};
}

Work LocalCommunicator::recv(Tensor& tensor, int peer, std::string_view name) {
  TANDEM_CHECK(false, "recv '{}': a group of one rank has no peer", name);
  return {};
}

std::unique_ptr<Communicator> LocalCommunicator::split(int color, std::string_view name) {
  if (color < 0) return nullptr;
  return std::make_unique<LocalCommunicator>(std::string(name));
}

Group local_group() {
  static const auto communicator = std::make_shared<LocalCommunicator>("local");
  return Group(communicator);
}

}  // namespace tandem::parallel
