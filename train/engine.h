// One trainable model on this rank: its optimizer, its gradient reduction over replicas, clipping
// over all layouts. What is computed in a step is the caller's: it runs forward and backward for
// each micro-batch.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "models/model.h"
#include "parallel/data/gradient_reducer.h"
#include "parallel/data/gradient_tree.h"
#include "parallel/mesh/mesh.h"
#include "parallel/pipeline/shared_parameters.h"
#include "runtime/optim/adamw.h"
#include "runtime/optim/loss_scaler.h"
#include "train/config.h"
#include "train/fp8_scales.h"
#include "train/state.h"

namespace tandem::train {

struct StepStats {
  double grad_norm = 0;  // global, before clipping
  bool skipped = false;  // the gradient overflowed in fp16, and weights stay as they were
};

struct EngineOptions {
  Reproducible reproducible = Reproducible::kRun;
  runtime::LossScaleOptions loss_scale = {};                    // of a model that computes in fp16
  runtime::DType gradient_reduce_dtype = runtime::DType::kF32;  // see parallel::GradientReducer
};

class Engine {
 public:
  Engine(std::unique_ptr<models::Model> model, parallel::Mesh mesh,
         const runtime::AdamWOptions& optimizer, const EngineOptions& options = {});

  // Under Reproducible::kLayout a micro-batch is one sample. `forward_backward(i)` for i in [0,
  // micro_batches) accumulates gradients; their sum over micro-batches and replicas is the gradient
  // of the update. In a pipeline it is called for each of this rank's chunks, and ends without a
  // backward where the model's forward gives nothing: the engine differentiates then.
  // clip_grad_norm 0: no clipping. Collective over the mesh. Where the gradient is not finite, a
  // model in fp16 leaves the update out on all ranks and lowers its loss scale; others throw Error.
  StepStats step(std::int64_t micro_batches,
                 const std::function<void(std::int64_t)>& forward_backward, double learning_rate,
                 double clip_grad_norm);

  models::Model& model() { return *model_; }
  const parallel::Mesh& mesh() const { return mesh_; }
  runtime::AdamW& optimizer() { return optimizer_; }
  // Null where the model does not compute in fp16.
  const runtime::LossScaler* loss_scaler() const { return scaler_ ? &*scaler_ : nullptr; }
  // Calls of step(), also of runs that this one goes on from.
  std::int64_t steps() const { return optimizer_.steps() + (scaler_ ? scaler_->skipped() : 0); }
  // What goes on in steps besides tensors and the optimizer's count.
  void register_state(StateRegistry& state);

 private:
  using ForwardBackward = std::function<void(std::int64_t)>;
  void run_in_turn(std::int64_t micro_batches, const ForwardBackward& forward_backward);
  void run_samples(std::int64_t samples, const ForwardBackward& forward_backward);
  void run_pipeline(parallel::Pipeline& pipeline, std::int64_t micro_batches,
                    const ForwardBackward& forward_backward);
  double global_grad_norm();
  // True where the update must be left out.
  bool overflowed(double grad_norm);

  std::unique_ptr<models::Model> model_;
  parallel::Mesh mesh_;
  // One of the two: how gradients of micro-batches and replicas become one.
  std::optional<parallel::GradientReducer> reducer_;
  std::optional<parallel::GradientTree> tree_;
  parallel::SharedParameters shared_;
  runtime::AdamW optimizer_;
  std::optional<runtime::LossScaler> scaler_;
  std::optional<Fp8Scales> fp8_scales_;  // of a model with products under delayed scaling
};

}  // namespace tandem::train
