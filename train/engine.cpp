#include "train/engine.h"

#include <cmath>

#include "runtime/kernels/backend.h"

namespace tandem::train {

namespace {

std::vector<runtime::Parameter*> parameters_of(models::Model& model) {
  std::vector<runtime::Parameter*> parameters;
  for (const auto& stored : model.parameters().parameters())
    parameters.push_back(&stored->parameter);
  return parameters;
}

}  // namespace

Engine::Engine(std::unique_ptr<models::Model> model, parallel::Mesh mesh,
               const runtime::AdamWOptions& optimizer)
    : model_(std::move(model)),
      mesh_(std::move(mesh)),
      reducer_(model_->parameters(), mesh_.dp),
      optimizer_(parameters_of(*model_), optimizer) {}

StepStats Engine::step(std::int64_t micro_batches,
                       const std::function<void(std::int64_t)>& forward_backward,
                       double learning_rate, double clip_grad_norm) {
  model_->parameters().begin_step();
  for (std::int64_t i = 0; i < micro_batches; ++i) {
    if (i == micro_batches - 1) reducer_.arm();
    forward_backward(i);
  }
  reducer_.finish();
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
  return stats;
}

double Engine::global_grad_norm() {
  double sharded = 0;
  double replicated = 0;
  for (const auto& stored : model_->parameters().parameters()) {
    const double squares = runtime::backend_of(stored->parameter.leaf.grad)
                               .sum_of_squares(stored->parameter.leaf.grad);
    (stored->spec.dim >= 0 ? sharded : replicated) += squares;
  }
  sharded = mesh_.tp.all_reduce_scalar(sharded, parallel::ReduceOp::kSum, "gradient norm");
  return std::sqrt(sharded + replicated);
}

}  // namespace tandem::train
