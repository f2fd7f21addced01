// What the stages that train one model share: mesh, engine, objective, loop, samples on the way,
// and the record at the end.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/datasets/blended.h"
#include "data/datasets/example_file.h"
#include "data/datasets/examples.h"
#include "launcher/stages/context.h"
#include "runtime/base/error.h"
#include "train/engine.h"
#include "train/loop.h"
#include "train/recorded_loss.h"

namespace tandem::launcher {

// The mesh of a layout on the run's first ranks; none on the ranks beyond it. Collective over the
// world.
std::optional<parallel::Mesh> stage_mesh(const RunContext& context, const Stage& stage,
                                         const parallel::LayoutConfig& layout);

models::BuildOptions trained_options(const runtime::PrecisionPolicy& precision,
                                     const models::ActivationMemory& activations,
                                     const parallel::Mesh& mesh, models::Head head);
// Of the model that a stage trains.
models::BuildOptions tuned_options(const TrainingStage& stage, const parallel::Mesh& mesh,
                                   models::Head head);
models::BuildOptions trained_options(const train::TrainConfig& config, const parallel::Mesh& mesh,
                                     models::Head head);
// In fp8 under current scaling: nothing learns what delayed scaling would need.
models::BuildOptions frozen_options(const runtime::PrecisionPolicy& precision,
                                    const parallel::Mesh& mesh, models::Head head);
runtime::AdamWOptions adamw_options(const train::OptimizerConfig& config, std::uint64_t seed = 0);
train::EngineOptions engine_options(const train::OptimizerConfig& optimizer,
                                    const runtime::LossScaleOptions& loss_scale,
                                    train::Reproducible reproducible = train::Reproducible::kRun);

// An objective on data that the stage owns.
class StageObjective : public train::Objective {
 public:
  // validation: null for none.
  StageObjective(const data::Dataset& training, const data::Dataset* validation)
      : training_(training), validation_(validation) {}
  const data::Dataset& training_data() const final { return training_; }
  const data::Dataset* validation_data() const final { return validation_; }

 private:
  const data::Dataset& training_;
  const data::Dataset* validation_;
};

// The data sets of a stage, one for each source.
template <typename T>
struct StageSets {
  std::vector<T> training;
  std::vector<double> weights;  // of training
  std::vector<T> validation;    // none that is empty; may be none at all

  // The first sample of what evaluations see, or else of training.
  const T& shown() const { return validation.empty() ? training.front() : validation.front(); }
};

// `load(source, name)` reads one source into a Split; files made of it may be called by `name`. A
// validation source of its own wins over held-out fractions.
template <typename Load>
auto load_sets(const TrainingStage& stage, const Load& load) {
  using T = decltype(load(stage.data, std::string()).train);
  StageSets<T> sets;
  const auto add = [&](const data::DataConfig& source, double weight, const std::string& name) {
    auto split = load(source, name);
    if (split.train.size() == 0)
      runtime::throw_error("{}: nothing to train on in it, or less than is held out", source.path);
    sets.training.push_back(std::move(split.train));
    sets.weights.push_back(weight);
    if (stage.validation.path.empty() && split.validation.size() > 0)
      sets.validation.push_back(std::move(split.validation));
  };
  if (stage.data.sources.empty()) add(stage.data, 1.0, "training");
  for (std::size_t i = 0; i < stage.data.sources.size(); ++i)
    add(stage.data.sources[i], stage.data.sources[i].weight, fmt::format("training-{}", i));
  if (!stage.validation.path.empty())
    if (T held_out = load(stage.validation, std::string("validation")).train; held_out.size() > 0)
      sets.validation.push_back(std::move(held_out));
  return sets;
}

// What a stage trains on and is evaluated on: its sets, mixed by weight, and one after the other.
class StageData {
 public:
  // The sets must outlive this object.
  template <typename T>
  StageData(const StageSets<T>& sets, std::uint64_t seed)
      : training_(pointers(sets.training), sets.weights, seed) {
    if (!sets.validation.empty()) validation_.emplace(pointers(sets.validation));
  }

  const data::Dataset& training() const { return training_; }
  const data::Dataset* validation_or_null() const { return validation_ ? &*validation_ : nullptr; }

 private:
  template <typename T>
  static std::vector<const data::Dataset*> pointers(const std::vector<T>& sets) {
    std::vector<const data::Dataset*> result;
    for (const T& set : sets) result.push_back(&set);
    return result;
  }

  data::BlendedDataset training_;
  std::optional<data::BlendedDataset> validation_;
};

// Lets the mesh's first rank make a file that all ranks then read, however long that takes.
// Collective over the mesh.
void make_on_first_rank(const RunContext& context, const parallel::Mesh& mesh,
                        const std::string& what, const std::function<void()>& make);

// How a source becomes a file of examples.
struct ExampleRecipe {
  std::function<std::uint64_t()> fingerprint;
  std::function<data::ReadCounts(data::ExampleSink&)> read;
};

// A source's examples: tokenised by the mesh's first rank into STAGE/NAME.examples, unless they are
// there, and mapped by all. What was left out is logged, and added to `counts`.
data::ExampleStore prepare_examples(RunContext& context, const Stage& stage,
                                    const parallel::Mesh& mesh, const std::string& name,
                                    const ExampleRecipe& recipe, data::ReadCounts& counts);

// Adds what was left out, if anything, to the stage's figures.
void add_counts(StageRecord& record, const data::ReadCounts& counts);

// Adds how many updates were left out, of training in fp16.
void add_skipped_steps(StageRecord& record, const train::Engine& engine);

// Prediction of every target: what noise hides or all tokens in pretraining, completions in
// fine-tuning.
class TokenObjective final : public StageObjective {
 public:
  // cuda_graphs: on a GPU, steps are recorded.
  TokenObjective(const data::Dataset& training, const data::Dataset* validation,
                 bool cuda_graphs = false)
      : StageObjective(training, validation), recorded_(cuda_graphs) {}
  double weight(const data::Batch& batch) const override;
  train::Metrics micro_batch(models::Model& model, const data::Batch& batch, double global_weight,
                             bool backward) override;

 private:
  train::RecordedLoss recorded_;
};

// Prompts from which samples are generated at evaluations.
using SamplePrompts = std::vector<std::vector<std::int32_t>>;

// The prompts of the first `count` examples; `example(i)` gives a data::ExampleView. Those without
// a prompt are left out.
template <typename Examples>
SamplePrompts example_prompts(const Examples& example, std::int64_t count) {
  SamplePrompts prompts;
  for (std::int64_t i = 0; i < count; ++i) {
    const data::ExampleView view = example(i);
    if (view.prompt_length == 0) continue;
    prompts.emplace_back(view.tokens.begin(),
                         view.tokens.begin() + static_cast<std::ptrdiff_t>(view.prompt_length));
  }
  return prompts;
}

struct TrainingJob {
  const Stage& stage;
  const train::TrainConfig& config;
  const parallel::Mesh& mesh;
  std::unique_ptr<models::Model> model;
  train::Objective& objective;
  SamplePrompts sample_prompts;
  models::CompanionFiles companions = {};  // of the model's directory
};
StageRecord run_training_job(RunContext& context, TrainingJob job);

// Writes continuations of the prompts to the sink. Collective over the mesh; the first replica
// generates.
void write_samples(RunContext& context, models::Model& model, const parallel::Mesh& mesh,
                   const SamplePrompts& prompts, const train::SamplesConfig& config,
                   std::int64_t step, train::MetricSink& sink);

}  // namespace tandem::launcher
