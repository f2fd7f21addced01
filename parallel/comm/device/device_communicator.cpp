#include "parallel/comm/device/transport.h"
#include "parallel/comm/local/local.h"

namespace tandem::parallel {

using runtime::Tensor;

namespace {

bool on_host(const Tensor& tensor) {
  return tensor.device().type == runtime::DeviceType::kCPU;
}

void check_together(const Tensor& a, const Tensor& b, std::string_view name) {
  TANDEM_CHECK(a.device() == b.device(), "'{}': {} and {} are on two devices", name, a.str(),
               b.str());
}

}  // namespace

Work DeviceCommunicator::all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) {
  return on_host(tensor) ? host_.all_reduce(tensor, op, name)
                         : transport_->all_reduce(tensor, op, name);
}

Work DeviceCommunicator::reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                                        std::string_view name) {
  check_together(input, output, name);
  return on_host(input) ? host_.reduce_scatter(input, output, op, name)
                        : transport_->reduce_scatter(input, output, op, name);
}

Work DeviceCommunicator::all_gather(const Tensor& input, Tensor& output, std::string_view name) {
  check_together(input, output, name);
  return on_host(input) ? host_.all_gather(input, output, name)
                        : transport_->all_gather(input, output, name);
}

Work DeviceCommunicator::broadcast(Tensor& tensor, int root, std::string_view name) {
  return on_host(tensor) ? host_.broadcast(tensor, root, name)
                         : transport_->broadcast(tensor, root, name);
}

Work DeviceCommunicator::send(const Tensor& tensor, int peer, std::string_view name) {
  return on_host(tensor) ? host_.send(tensor, peer, name) : transport_->send(tensor, peer, name);
}

Work DeviceCommunicator::recv(Tensor& tensor, int peer, std::string_view name) {
  return on_host(tensor) ? host_.recv(tensor, peer, name) : transport_->recv(tensor, peer, name);
}

void DeviceCommunicator::barrier(std::string_view name) {
  transport_->check();
  host_.barrier(name);
}

std::unique_ptr<Communicator> DeviceCommunicator::split(int color, std::string_view name) {
  transport_->check();
  Group part = host_.split(color, name);
  if (part.size() == 0) return nullptr;
  if (part.size() == 1) return std::make_unique<LocalCommunicator>(std::string(name));
  auto transport = transport_->for_group(part);
  return std::make_unique<DeviceCommunicator>(std::move(part), std::move(transport));
}

void DeviceCommunicator::set_deadline(std::chrono::milliseconds deadline) {
  host_.set_deadline(deadline);
  transport_->set_deadline(deadline);
}

}  // namespace tandem::parallel
