// What the stages that train one model share: mesh, engine, objective, loop, samples on the way,
// and the record at the end.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>

#include "data/datasets/examples.h"
#include "launcher/stages/context.h"
#include "train/engine.h"
#include "train/loop.h"

namespace tandem::launcher {

// The mesh of a layout on the run's first ranks; none on the ranks beyond it. Collective over the
// world.
std::optional<parallel::Mesh> stage_mesh(const RunContext& context, const Stage& stage,
                                         const parallel::LayoutConfig& layout);

models::BuildOptions trained_options(runtime::DType precision, train::Recompute recompute,
                                     const parallel::Mesh& mesh, models::Head head);
// Of the model that a stage trains.
models::BuildOptions tuned_options(const TrainingStage& stage, const parallel::Mesh& mesh,
                                   models::Head head);
models::BuildOptions frozen_options(runtime::DType precision, const parallel::Mesh& mesh,
                                    models::Head head);
runtime::AdamWOptions adamw_options(const train::OptimizerConfig& config);

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

// Training and validation data of a stage; validation may be empty.
template <typename T>
struct StageData {
  T training;
  std::unique_ptr<T> validation;

  const data::Dataset* validation_or_null() const {
    return validation != nullptr && validation->size() > 0 ? validation.get() : nullptr;
  }
};

// `load` reads one source into a Split. A validation source of its own wins over a held-out
// fraction.
template <typename Load>
auto load_data(const TrainingStage& stage, const Load& load) {
  auto split = load(stage.data);
  using T = decltype(split.train);
  StageData<T> data{std::move(split.train), nullptr};
  if (!stage.validation.path.empty()) {
    data.validation = std::make_unique<T>(load(stage.validation).train);
  } else if (stage.data.validation_fraction > 0) {
    data.validation = std::make_unique<T>(std::move(split.validation));
  }
  return data;
}

// Prediction of every target: what noise hides or all tokens in pretraining, completions in
// fine-tuning.
class TokenObjective final : public StageObjective {
 public:
  using StageObjective::StageObjective;
  double weight(const data::Batch& batch) const override;
  train::Metrics micro_batch(models::Model& model, const data::Batch& batch, double global_weight,
                             bool backward) override;
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
};
StageRecord run_training_job(RunContext& context, TrainingJob job);

// Writes continuations of the prompts to the sink. Collective over the mesh; the first replica
// generates.
void write_samples(RunContext& context, models::Model& model, const parallel::Mesh& mesh,
                   const SamplePrompts& prompts, const train::SamplesConfig& config,
                   std::int64_t step, train::MetricSink& sink);

}  // namespace tandem::launcher
