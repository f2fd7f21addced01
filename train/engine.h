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
#include "train/config.h"

namespace tandem::train {

struct StepStats {
  double grad_norm = 0;  // global, before clipping
};

class Engine {
 public:
  Engine(std::unique_ptr<models::Model> model, parallel::Mesh mesh,
         const runtime::AdamWOptions& optimizer, Reproducible reproducible = Reproducible::kRun);

  // Under Reproducible::kLayout a micro-batch is one sample. `forward_backward(i)` for i in [0,
  // micro_batches) accumulates gradients; their sum over micro-batches and replicas is the gradient
  // of the update. In a pipeline it is called for each of this rank's chunks, and ends without a
  // backward where the model's forward gives nothing: the engine differentiates then.
  // clip_grad_norm 0: no clipping. Collective over the mesh. Throws Error when the gradient is not
  // finite.
  StepStats step(std::int64_t micro_batches,
                 const std::function<void(std::int64_t)>& forward_backward, double learning_rate,
                 double clip_grad_norm);

  models::Model& model() { return *model_; }
  const parallel::Mesh& mesh() const { return mesh_; }
  runtime::AdamW& optimizer() { return optimizer_; }

 private:
  using ForwardBackward = std::function<void(std::int64_t)>;
  void run_in_turn(std::int64_t micro_batches, const ForwardBackward& forward_backward);
  void run_samples(std::int64_t samples, const ForwardBackward& forward_backward);
  void run_pipeline(parallel::Pipeline& pipeline, std::int64_t micro_batches,
                    const ForwardBackward& forward_backward);
  double global_grad_norm();

  std::unique_ptr<models::Model> model_;
  parallel::Mesh mesh_;
  // One of the two: how gradients of micro-batches and replicas become one.
  std::optional<parallel::GradientReducer> reducer_;
  std::optional<parallel::GradientTree> tree_;
  parallel::SharedParameters shared_;
  runtime::AdamW optimizer_;
};

}  // namespace tandem::train
