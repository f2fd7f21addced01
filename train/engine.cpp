#include "train/engine.h"

#include <cmath>

#include "runtime/kernels/backend.h"

namespace tandem::train {

namespace {

std::vector<runtime::OptimizerSpan> spans_of(const parallel::ParameterStore& store) {
  std::vector<runtime::OptimizerSpan> spans;
  for (const parallel::OwnedPart& part : store.owned())
    spans.push_back({part.master, part.grad, part.compute,
                     store.parameters()[part.parameter]->parameter.decay});
  return spans;
}

}  // namespace

Engine::Engine(std::unique_ptr<models::Model> model, parallel::Mesh mesh,
               const runtime::AdamWOptions& optimizer)
    : model_(std::move(model)),
      mesh_(std::move(mesh)),
      reducer_(model_->parameters(), mesh_.dp),
      optimizer_(spans_of(model_->parameters()), optimizer) {}

StepStats Engine::step(std::int64_t micro_batches,
                       const std::function<void(std::int64_t)>& forward_backward,
                       double learning_rate, double clip_grad_norm) {
  model_->parameters().begin_step();
  for (std::int64_t i = 0; i < micro_batches; ++i) {
    reducer_.begin_micro_batch(i == 0, i == micro_batches - 1);
    forward_backward(i);
    reducer_.end_micro_batch();
  }
  StepStats stats{.grad_norm = global_grad_norm()};
  if (!std::isfinite(stats.grad_norm))
    runtime::throw_environment_error(
        "the gradient of update {} is not finite ({}); lower learning_rate, or set precision: fp32 "
        "to find out whether rounding is the cause",
        optimizer_.steps() + 1, stats.grad_norm);
  // The small constant is PyTorch's clip_grad_norm_.
  const double scale =
      clip_grad_norm > 0 ? std::min(1.0, clip_grad_norm / (stats.grad_norm + 1e-6)) : 1.0;
  optimizer_.step(learning_rate, scale);
  model_->parameters().gather_values();
  return stats;
}

double Engine::global_grad_norm() {
  // [divided among replicas][divided among tensor-parallel ranks]
  double squares[2][2] = {};
  const parallel::ParameterStore& store = model_->parameters();
  for (const parallel::OwnedPart& part : store.owned()) {
    const bool tp = store.parameters()[part.parameter]->spec.dim >= 0;
    squares[store.divided(part.parameter)][tp] +=
        runtime::backend_of(part.grad).sum_of_squares(part.grad);
  }
  const auto sum = [](const parallel::Group& group, double value) {
    return group.all_reduce_scalar(value, parallel::ReduceOp::kSum, "gradient norm");
  };
  if (store.divided())
    for (double& value : squares[1]) value = sum(mesh_.dp, value);
  return std::sqrt(sum(mesh_.tp, squares[0][1] + squares[1][1]) + squares[0][0] + squares[1][0]);
}

}  // namespace tandem::train
