#include "launcher/stages/run.h"

#include <chrono>
#include <optional>

#include "launcher/recipe/writer.h"
#include "launcher/stages/run_lock.h"
#include "launcher/stages/stages.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/device/device.h"
#include "runtime/io/atomic_file.h"
#include "runtime/metrics/timers.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

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
    case StageKind::kClassify:
      return run_classify_stage(context, stage);
    case StageKind::kContrastive:
      return run_contrastive_stage(context, stage);
  }
  TANDEM_CHECK(false, "stage kind {}", static_cast<int>(stage.kind()));
  return {};
}

std::chrono::milliseconds deadline_of(const Recipe& recipe) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(recipe.timeout * 1000));
}

// A rank that a stage does not need waits here for as long as the stage takes. The launcher ends
// all ranks when one dies, so the wait ends in any case.
void wait_for_stage(const parallel::Group& world, const Recipe& recipe, const Stage& stage) {
  world.set_deadline(std::chrono::hours(24 * 365));
  world.barrier("end of stage " + stage.name);
  world.set_deadline(deadline_of(recipe));
}

std::string figures_of(const StageRecord& record) {
  std::string text;
  for (const auto& [name, value] : record.figures)
    text += fmt::format("{} {} {:.6g}", text.empty() ? "" : ",", name, value);
  return text;
}

// What the first rank does before a stage; false: the stage is finished already. `rerun` is the
// stage that had to be run in this session, if any.
bool prepare(const RunContext& context, const Stage& stage,
             const std::optional<std::string>& rerun) {
  const fs::path folder = context.folder_of(stage);
  fs::create_directories(folder);
  // The summary is shown every time; everything else happens once.
  if (stage.kind() == StageKind::kEvaluate) return true;
  claim_settings(folder, result_settings(context.recipe(), stage));
  const auto record = read_record(folder);
  if (!record) return true;
  if (rerun)
    runtime::throw_error(
        "{}: this stage was finished before stage '{}' was run anew; delete {} to run it again too",
        folder.string(), *rerun, folder.string());
  runtime::log_info("{}: finished before:{}", stage.name, figures_of(*record));
  return false;
}

}  // namespace

void run_recipe(const Recipe& recipe, const parallel::Group& world, runtime::Device device) {
  world.set_deadline(deadline_of(recipe));
  RunContext context(recipe, world, device);
  std::optional<RunLock> lock;
  if (context.first_rank()) {
    fs::create_directories(recipe.run_dir);
    lock.emplace(recipe.run_dir);
    runtime::write_file_atomically(fs::path(recipe.run_dir) / "recipe.yaml", to_yaml(recipe));
  }
  std::optional<std::string> rerun;
  for (const Stage& stage : recipe.stages) {
    const bool needed = context.first_rank() && prepare(context, stage, rerun);
    if (world.all_reduce_scalar(std::int64_t{needed}, parallel::ReduceOp::kMax,
                                "start of stage " + stage.name) == 0)
      continue;
    const runtime::Stopwatch watch;
    runtime::Allocator& memory = runtime::allocator_of(device);
    memory.reset_peak();
    StageRecord finished = run_stage(context, stage);
    // What `trainer plan` promises.
    finished.figures.emplace_back("peak_bytes",
                                  static_cast<double>(memory.stats().peak_allocated_bytes));
    if (context.first_rank()) write_record(context.folder_of(stage), finished);
    wait_for_stage(world, recipe, stage);
    rerun = stage.name;
    runtime::log_info("{}: finished in {}:{}", stage.name,
                      runtime::format_duration(watch.seconds()), figures_of(finished));
  }
}

}  // namespace tandem::launcher
