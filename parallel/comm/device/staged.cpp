#include "parallel/comm/device/staged.h"

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::Tensor;

namespace {

// A collective on copies, whose result goes back to where it was asked for.
class StagedWork : public Work::Impl {
 public:
  StagedWork(Work work, Tensor copy, Tensor target)
      : work_(std::move(work)), copy_(std::move(copy)), target_(std::move(target)) {}

  bool test() override {
    if (!work_.test()) return false;
    deliver();
    return true;
  }
  void wait() override {
    work_.wait();
    deliver();
  }
  bool hopeless() const override { return work_.hopeless(); }

 private:
  // The backend of the device that is not the host knows how to move bytes between the two.
  void deliver() {
    const bool to_host = target_.device().type == runtime::DeviceType::kCPU;
    runtime::backend_of(to_host ? copy_ : target_).copy(copy_, target_);
  }

  Work work_;
  Tensor copy_, target_;
};

Work staged(Work work, const Tensor& copy, const Tensor& target) {
  return Work(std::make_unique<StagedWork>(std::move(work), copy, target));
}

}  // namespace

Tensor StagedTransport::room_for(const Tensor& tensor) const {
  return Tensor::empty(tensor.shape(), tensor.dtype(), through_);
}

Work StagedTransport::all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) {
  Tensor copy = carried(tensor);
  return staged(group_.all_reduce(copy, op, name), copy, tensor);
}

Work StagedTransport::reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                                     std::string_view name) {
  Tensor copy = room_for(output);
  return staged(group_.reduce_scatter(carried(input), copy, op, name), copy, output);
}

Work StagedTransport::all_gather(const Tensor& input, Tensor& output, std::string_view name) {
  Tensor copy = room_for(output);
  return staged(group_.all_gather(carried(input), copy, name), copy, output);
}

Work StagedTransport::broadcast(Tensor& tensor, int root, std::string_view name) {
  const bool mine = group_.rank() == root;
  Tensor copy = mine ? carried(tensor) : room_for(tensor);
  Work work = group_.broadcast(copy, root, name);
  return mine ? std::move(work) : staged(std::move(work), copy, tensor);
}

Work StagedTransport::send(const Tensor& tensor, int peer, std::string_view name) {
  return group_.send(carried(tensor), peer, name);
}

Work StagedTransport::recv(Tensor& tensor, int peer, std::string_view name) {
  Tensor copy = room_for(tensor);
  return staged(group_.recv(copy, peer, name), copy, tensor);
}

}  // namespace tandem::parallel
