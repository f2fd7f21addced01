#include "launcher/stages/run.h"

#include <chrono>

#include "launcher/recipe/writer.h"
#include "launcher/stages/stages.h"
#include "runtime/base/log.h"
#include "runtime/io/atomic_file.h"
#include "runtime/metrics/timers.h"

namespace tandem::launcher {

namespace {

StageRecord run_stage(RunContext& context, const Stage& stage) {
  switch (stage.kind()) {
    case StageKind::kTokenizer:
      return run_tokenizer_stage(context, stage);
    case StageKind::kPretrain:
      return run_pretrain_stage(context, stage);
    case StageKind::kSft:
      return run_sft_stage(context, stage);
    case StageKind::kReward:
      return run_reward_stage(context, stage);
    case StageKind::kDpo:
      return run_dpo_stage(context, stage);
    case StageKind::kPpo:
      return run_ppo_stage(context, stage);
    case StageKind::kRejectionSampling:
      return run_rejection_sampling_stage(context, stage);
    case StageKind::kEvaluate:
      return run_evaluate_stage(context, stage);
  }
  TANDEM_CHECK(false, "stage kind {}", static_cast<int>(stage.kind()));
  return {};
}

// A rank that a stage does not need waits here for as long as the stage takes. The launcher ends
// all ranks when one dies, so the wait ends in any case.
void wait_for_stage(const parallel::Group& world, const Stage& stage) {
  world.set_deadline(std::chrono::hours(24 * 365));
  world.barrier("end of stage " + stage.name);
}

std::string figures_of(const StageRecord& record) {
  std::string text;
  for (const auto& [name, value] : record.figures) text += fmt::format("  {} {:.6g}", name, value);
  return text;
}

}  // namespace

void run_recipe(const Recipe& recipe, const parallel::Group& world) {
  RunContext context(recipe, world);
  if (context.first_rank()) {
    std::filesystem::create_directories(recipe.run_dir);
    runtime::write_file_atomically(std::filesystem::path(recipe.run_dir) / "recipe.yaml",
                                   to_yaml(recipe));
  }
  for (const Stage& stage : recipe.stages) {
    // The summary is shown every time; everything else happens once.
    const auto record =
        stage.kind() == StageKind::kEvaluate ? std::nullopt : context.read_record(stage);
    if (record) {
      runtime::log_info("{}: finished before{}", stage.name, figures_of(*record));
      continue;
    }
    world.barrier("start of stage " + stage.name);
    const runtime::Stopwatch watch;
    if (context.first_rank()) std::filesystem::create_directories(context.folder_of(stage));
    world.barrier("folder of stage " + stage.name);
    const StageRecord finished = run_stage(context, stage);
    if (context.first_rank()) context.write_record(stage, finished);
    wait_for_stage(world, stage);
    runtime::log_info("{}: finished in {}{}", stage.name, runtime::format_duration(watch.seconds()),
                      figures_of(finished));
  }
}

}  // namespace tandem::launcher
