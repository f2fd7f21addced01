// What the stages that train one model share: mesh, engine, loop, samples on the way, and the
// record at the end.
#pragma once

#include <functional>
#include <memory>

#include "launcher/stages/context.h"
#include "train/engine.h"
#include "train/loop.h"

namespace tandem::launcher {

// Ranks [0, count) of the run as a group of their own; a group of size 0 on the others. Collective
// over the world.
parallel::Group first_ranks(const RunContext& context, std::int64_t count, const std::string& name);

models::BuildOptions build_options(const train::TrainConfig& config, const parallel::Mesh& mesh,
                                   models::Head head);
runtime::AdamWOptions adamw_options(const train::OptimizerConfig& config);

// Prompts from which samples are generated at evaluations.
using SamplePrompts = std::vector<std::vector<std::int32_t>>;

struct TrainingJob {
  const Stage& stage;
  const train::TrainConfig& config;
  train::Engine& engine;
  train::Objective& objective;
  SamplePrompts sample_prompts;
};
StageRecord run_training_job(RunContext& context, const TrainingJob& job);

// Writes continuations of the prompts to the sink. Collective over the mesh; the first replica
// generates.
void write_samples(RunContext& context, models::Model& model, const parallel::Mesh& mesh,
                   const SamplePrompts& prompts, const train::SamplesConfig& config,
                   std::int64_t step, train::MetricSink& sink);

}  // namespace tandem::launcher
