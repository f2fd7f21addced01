#include "parallel/pipeline/pipeline.h"

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::Shape;
using runtime::Tape;
using runtime::TapeScope;
using runtime::Tensor;

namespace {

constexpr std::string_view kActivations = "activations of the pipeline";
constexpr std::string_view kGradients = "gradients of the pipeline";

}  // namespace

Pipeline::Pipeline(Group activations, Group gradients, ScheduleKind kind, int chunks)
    : activations_(std::move(activations)),
      gradients_(std::move(gradients)),
      shape_{kind, activations_.size(), chunks},
      kept_(static_cast<std::size_t>(chunks)) {
  activations_.connect_ring(1);
  gradients_.connect_ring(-1);
}

Pipeline::Tensors Pipeline::receive(const Group& group, int peer, const Incoming& incoming,
                                    std::string_view name) {
  Tensors tensors;
  std::vector<Work> works;
  for (const Shape& shape : incoming.shapes) {
    tensors.push_back(Tensor::empty(shape, incoming.dtype, incoming.device));
    works.push_back(group.recv(tensors.back(), peer, name));
  }
  for (Work& work : works) work.wait();
  return tensors;
}

void Pipeline::send(const Group& group, int peer, const Tensors& tensors, std::string_view name) {
  while (!sending_.empty() && sending_.front().test()) sending_.pop_front();
  for (const Tensor& tensor : tensors) sending_.push_back(group.send(tensor, peer, name));
}

void Pipeline::track(Tensors& received) {
  TANDEM_CHECK(received.size() <= 2, "a part of a model receives {} tensors", received.size());
  if (received.empty()) return;
  std::vector<Shape> shapes;
  for (const Tensor& tensor : received) shapes.push_back(tensor.shape());
  const runtime::DType dtype = received[0].dtype();
  const runtime::Device device = received[0].device();
  const auto backward = [this, shapes, dtype, device](runtime::BackwardContext& context) {
    Tensors grads;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const Tensor& grad = context.grad_output(i);
      grads.push_back(grad.defined() ? grad.to(dtype) : Tensor::zeros(shapes[i], dtype, device));
    }
    send(gradients_, previous(), grads, kGradients);
  };
  Tape& tape = *Tape::current();
  if (received.size() == 1)
    tape.record("pipeline input", {}, {&received[0]}, {}, backward);
  else
    tape.record("pipeline input", {}, {&received[0], &received[1]}, {}, backward);
}

Pipeline::Tensors Pipeline::run(const Incoming& incoming,
                                const std::function<Tensors(const Tensors&)>& compute) {
  Tensors received = receive(activations_, previous(), incoming, kActivations);
  if (Tape::current() == nullptr) {
    Tensors outputs = compute(received);
    if (in_last_part()) return outputs;
    send(activations_, next(), outputs, kActivations);
    return {};
  }
  if (in_last_part()) {
    track(received);
    return compute(received);
  }
  auto kept = std::make_unique<Kept>();
  const TapeScope scope(&kept->tape);
  track(received);
  kept->outputs = compute(received);
  send(activations_, next(), kept->outputs, kActivations);
  kept_[static_cast<std::size_t>(chunk_)].push_back(std::move(kept));
  return {};
}

void Pipeline::backward() {
  auto& waiting = kept_[static_cast<std::size_t>(chunk_)];
  TANDEM_CHECK(!in_last_part() && !waiting.empty(), "part {} has no forward to differentiate",
               part());
  const std::unique_ptr<Kept> kept = std::move(waiting.front());
  waiting.pop_front();
  Incoming incoming;
  for (const Tensor& output : kept->outputs) incoming.shapes.push_back(output.shape());
  if (!kept->outputs.empty()) {
    incoming.dtype = kept->outputs[0].dtype();
    incoming.device = kept->outputs[0].device();
  }
  const Tensors grads = receive(gradients_, next(), incoming, kGradients);
  kept->tape.backward(kept->outputs, grads);
}

void Pipeline::finish() {
  for (Work& work : sending_) work.wait();
  sending_.clear();
}

void Pipeline::share_from_last(Tensor& tensor, std::string_view name) const {
  activations_.broadcast(tensor, shape_.stages - 1, name).wait();
}

}  // namespace tandem::parallel
