#include "train/engine.h"

#include <cmath>

#include "parallel/data/partial_gradients.h"
#include "runtime/kernels/backend.h"

namespace tandem::train {

namespace {

// Gradients that overflow even so are no numbers at all.
constexpr float kSmallestLossScale = 0x1p-20f;

// The runs of a parameter's logical pieces within an owned part of it.
std::vector<runtime::SpanPiece> pieces_of(const parallel::ParameterStore& store,
                                          const parallel::OwnedPart& part) {
  std::vector<runtime::SpanPiece> pieces;
  const parallel::ShardSpec& spec = store.parameters()[part.parameter]->spec;
  for (const parallel::LogicalRun& run :
       parallel::logical_runs(spec, store.tp().rank(), store.tp().size())) {
    const std::int64_t first = std::max(run.begin, part.begin),
                       count = std::min(run.begin + run.count, part.begin + part.count) - first;
    if (count > 0)
      pieces.push_back({run.name, first - part.begin, count, run.indices.from(first - run.begin)});
  }
  return pieces;
}

std::vector<runtime::OptimizerSpan> spans_of(const parallel::ParameterStore& store) {
  std::vector<runtime::OptimizerSpan> spans;
  for (const parallel::OwnedPart& part : store.owned()) {
    spans.push_back({part.master, part.grad, part.compute,
                     store.parameters()[part.parameter]->parameter.decay});
    if (!part.master.defined()) spans.back().pieces = pieces_of(store, part);
  }
  return spans;
}

}  // namespace

Engine::Engine(std::unique_ptr<models::Model> model, parallel::Mesh mesh,
               const runtime::AdamWOptions& optimizer, const EngineOptions& options)
    : model_(std::move(model)),
      mesh_(std::move(mesh)),
      shared_(model_->trained_parameters()),
      optimizer_(spans_of(model_->trained_parameters()), optimizer) {
  if (model_->trained_parameters().compute_dtype() == runtime::DType::kF16)
    scaler_.emplace(options.loss_scale);
  if (const auto& fp8 = model_->parameters().fp8();
      fp8 && fp8->scaling == runtime::Fp8Scaling::kDelayed)
    fp8_scales_.emplace(model_->parameters(), mesh_, *fp8);
  if (options.reproducible == Reproducible::kLayout)
    tree_.emplace(model_->trained_parameters(), mesh_.replicas);
  else
    reducer_.emplace(model_->trained_parameters(), mesh_.zero, mesh_.zero_copies,
                     options.gradient_reduce_dtype);
}

StepStats Engine::step(std::int64_t micro_batches,
                       const std::function<void(std::int64_t)>& forward_backward,
                       double learning_rate, double clip_grad_norm) {
  model_->trained_parameters().begin_step();
  if (models::Adapter* adapter = model_->adapter()) adapter->begin_step(optimizer_.steps());
  const double loss_scale = scaler_ ? scaler_->scale() : 1.0;
  model_->set_loss_scale(static_cast<float>(loss_scale));
  if (parallel::Pipeline* pipeline = model_->pipeline())
    run_pipeline(*pipeline, micro_batches, forward_backward);
  else if (tree_)
    run_samples(micro_batches, forward_backward);
  else
    run_in_turn(micro_batches, forward_backward);
  parallel::sum_partial_gradients(model_->trained_parameters());
  StepStats stats{.grad_norm = global_grad_norm() / loss_scale};
  stats.skipped = overflowed(stats.grad_norm);
  if (stats.skipped) return stats;
  // The small constant is PyTorch's clip_grad_norm_.
  const double scale =
      clip_grad_norm > 0 ? std::min(1.0, clip_grad_norm / (stats.grad_norm + 1e-6)) : 1.0;
  optimizer_.step(learning_rate, scale / loss_scale);
  model_->trained_parameters().gather_values();
  if (fp8_scales_) fp8_scales_->update();
  return stats;
}

void Engine::run_in_turn(std::int64_t micro_batches, const ForwardBackward& forward_backward) {
  for (std::int64_t i = 0; i < micro_batches; ++i) {
    reducer_->begin_micro_batch(i == 0, i == micro_batches - 1);
    forward_backward(i);
    reducer_->end_micro_batch();
  }
}

void Engine::run_samples(std::int64_t samples, const ForwardBackward& forward_backward) {
  for (std::int64_t i = 0; i < samples; ++i) {
    tree_->begin_sample();
    forward_backward(i);
    tree_->end_sample();
  }
  tree_->finish();
}

void Engine::run_pipeline(parallel::Pipeline& pipeline, std::int64_t micro_batches,
                          const ForwardBackward& forward_backward) {
  using Kind = parallel::PipelineAction::Kind;
  const std::int64_t backwards = micro_batches * pipeline.shape().chunks;
  std::int64_t done = 0;
  for (const parallel::PipelineAction& action : pipeline.actions(micro_batches)) {
    pipeline.select(action.chunk);
    // In the last part forward and backward are one call, and stand together in the schedule.
    const bool whole = pipeline.in_last_part();
    if (action.kind == Kind::kForward) {
      if (!whole) forward_backward(action.micro_batch);
      continue;
    }
    reducer_->begin_micro_batch(done == 0, done == backwards - 1);
    if (whole)
      forward_backward(action.micro_batch);
    else
      pipeline.backward();
    reducer_->end_micro_batch();
    ++done;
  }
  pipeline.finish();
  shared_.sum_gradients();
}

bool Engine::overflowed(double grad_norm) {
  if (!scaler_) {
    if (std::isfinite(grad_norm)) return false;
    runtime::throw_environment_error(
        "the gradient of update {} is not finite ({}); lower learning_rate, or set precision: fp32 "
        "to find out whether rounding is the cause",
        optimizer_.steps() + 1, grad_norm);
  }
  // Ranks that hold equal gradients see the same; nothing may hang on that.
  const bool overflow =
      mesh_.world.all_reduce_scalar(std::int64_t{!std::isfinite(grad_norm)},
                                    parallel::ReduceOp::kMax, "gradient overflow") != 0;
  scaler_->update(overflow);
  if (scaler_->scale() < kSmallestLossScale)
    runtime::throw_environment_error(
        "the gradient of update {} is not finite, with a loss scale as low as {}: it is not fp16 "
        "that cannot hold it; lower learning_rate, or set precision: fp32 to find the cause",
        optimizer_.steps() + 1, scaler_->scale());
  return overflow;
}

void Engine::register_state(StateRegistry& state) {
  if (scaler_)
    state.add(
        "loss_scale", [this] { return scaler_->state(); },
        [this](std::string_view text) { scaler_->load_state(text); });
  if (fp8_scales_)
    state.add(
        "fp8_scales", [this] { return fp8_scales_->state(); },
        [this](std::string_view text) { fp8_scales_->load_state(text); });
}

double Engine::global_grad_norm() {
  // [divided among replicas][divided among tensor-parallel ranks]
  std::vector<runtime::Tensor> grads[2][2];
  const parallel::ParameterStore& store = model_->trained_parameters();
  for (const parallel::OwnedPart& part : store.owned()) {
    if (!store.counts(part.parameter)) continue;
    const bool tp = store.parameters()[part.parameter]->spec.dim >= 0;
    grads[store.divided(part.parameter)][tp].push_back(part.grad);
  }
  double squares[2][2] = {};
  for (const int divided : {0, 1})
    for (const int tp : {0, 1})
      if (const auto& parts = grads[divided][tp]; !parts.empty())
        squares[divided][tp] = runtime::backend_of(parts.front()).sum_of_squares(parts);
  const auto sum = [](const parallel::Group& group, double value) {
    return group.all_reduce_scalar(value, parallel::ReduceOp::kSum, "gradient norm");
  };
  if (store.divided())
    for (double& value : squares[1]) value = sum(mesh_.zero, value);
  return std::sqrt(
      sum(mesh_.pp, sum(mesh_.tp, squares[0][1] + squares[1][1]) + squares[0][0] + squares[1][0]));
}

}  // namespace tandem::train
