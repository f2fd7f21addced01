// The step loop that every supervised objective shares: batches from the resumable sampler,
// accumulation, update, evaluation, metrics, checkpoints, interruption.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/datasets/dataset.h"
#include "data/sampler.h"
#include "data/tokenizer/tokenizer.h"
#include "models/embedding/sentence_transformers.h"
#include "train/checkpoint.h"
#include "train/config.h"
#include "train/engine.h"
#include "train/metric_sink.h"

namespace tandem::train {

// What is trained: data and what one micro-batch of it computes.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual const data::Dataset& training_data() const = 0;
  // Null: no evaluation.
  virtual const data::Dataset* validation_data() const = 0;
  // What the loss of a batch, which is whole, is normalised by, once summed over the global batch:
  // target tokens, or pairs.
  virtual double weight(const data::Batch& batch) const = 0;
  // Before the micro-batches of a step or of an evaluation, with all of this rank's: the same
  // objects then come to micro_batch(). Of an evaluation's, those from `counted` on repeat what
  // counts for nothing, so that every replica has as many. For losses in which samples meet.
  // Collective over the mesh.
  virtual void prepare(models::Model& /*model*/, const parallel::Mesh& /*mesh*/,
                       std::span<const data::Batch> /*batches*/, std::size_t /*counted*/,
                       bool /*backward*/) {}
  // Forward and, unless evaluating, backward. Returns shares of global means, "loss" first; the
  // names must be the same at every call.
  virtual Metrics micro_batch(models::Model& model, const data::Batch& batch, double global_weight,
                              bool backward) = 0;
};

struct LoopOptions {
  std::string stage;
  std::filesystem::path folder;  // of the stage
  std::uint64_t seed = 0;
  const data::Tokenizer* tokenizer = nullptr;
  models::CompanionFiles companions = {};  // of the model's directory
  // Further state that checkpoints carry.
  struct ExtraState {
    StateRegistry::Save save;
    StateRegistry::Load load;
  };
  std::vector<std::pair<std::string, ExtraState>> extra_state = {};
  // Called at evaluations and at the end, on all ranks: generated samples go to the sink.
  std::function<void(std::int64_t step, MetricSink& sink)> on_evaluation;
};

struct LoopResult {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;  // processed over all ranks, in this and earlier sessions of the run
  double seconds = 0;       // of training, likewise
  double final_loss = 0;    // training loss of the last step
  double validation_loss = 0;
};

// Trains to config.steps (or resolved epochs), going on from the stage's latest checkpoint.
// Collective over the engine's mesh. Throws Error (interrupted) after saving when SIGTERM or SIGINT
// came.
LoopResult run_training(Engine& engine, Objective& objective, const TrainConfig& config,
                        const LoopOptions& options);

// Mean metrics of an evaluation pass over at most `max_samples` (0: all).
Metrics evaluate(models::Model& model, const parallel::Mesh& mesh, Objective& objective,
                 const data::Dataset& dataset, std::int64_t micro_batch_size,
                 std::int64_t max_samples, Reproducible reproducible = Reproducible::kRun);

}  // namespace tandem::train
