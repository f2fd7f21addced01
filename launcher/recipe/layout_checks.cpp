#include "launcher/recipe/layout_checks.h"

#include <fmt/format.h>

#include <bit>

#include "runtime/base/error.h"

namespace tandem::launcher {

using parallel::LayoutConfig;

namespace {

void check_degrees(const LayoutConfig& layout, const SayOfLayout& say) {
  for (const auto& [name, degree] : {std::pair{"pipeline_parallel", layout.pipeline_parallel},
                                     std::pair{"data_parallel", layout.data_parallel},
                                     std::pair{"context_parallel", layout.context_parallel},
                                     std::pair{"tensor_parallel", layout.tensor_parallel},
                                     std::pair{"virtual_stages", layout.virtual_stages}})
    if (degree < 1) say(name, fmt::format("'{}' must be at least 1, got {}", name, degree));
  if (layout.zero_stage < 0 || layout.zero_stage > 3)
    say("zero_stage", fmt::format("'zero_stage' must be 0, 1, 2 or 3, got {}", layout.zero_stage));
}

constexpr std::string_view kStagesInStep =
    "stages that train on a data set (pretrain, sft, reward, dpo, classify, contrastive)";

void check_context(const LayoutConfig& layout, const LayoutUse& use, const SayOfLayout& say) {
  if (!use.trains_in_step)
    say("context_parallel", fmt::format("'context_parallel' {} is for {}; leave it at 1 here",
                                        layout.context_parallel, kStagesInStep));
}

void check_pipeline(const LayoutConfig& layout, const LayoutUse& use, const SayOfLayout& say) {
  if (!use.trains_in_step)
    say("pipeline_parallel", fmt::format("'pipeline_parallel' {} is for {}; leave it at 1 here",
                                         layout.pipeline_parallel, kStagesInStep));
  if (use.sizes != nullptr && layout.pipeline_parts() > use.sizes->block_count())
    say("pipeline_parallel",
        fmt::format("a pipeline of {} parts (pipeline_parallel {} x virtual_stages {}) needs as "
                    "many blocks, but the model has {}",
                    layout.pipeline_parts(), layout.pipeline_parallel, layout.virtual_stages,
                    use.sizes->block_count()));
}

}  // namespace

void check_layout(const LayoutConfig& layout, const LayoutUse& use, const SayOfLayout& say) {
  check_degrees(layout, say);
  const std::int64_t together = layout.zero_group_size;
  if (together < 0 || (together > 0 && layout.data_parallel > 0 && layout.context_parallel > 0 &&
                       layout.replicas() % together != 0))
    say("zero_group_size",
        fmt::format("'zero_group_size' {} does not divide the {} copies of the model", together,
                    layout.replicas()));
  if (layout.zero_stage == 3 && !use.trains_in_step)
    say("zero_stage",
        fmt::format("'zero_stage' 3 is for {}, whose copies of the model work in step; "
                    "use 2 here",
                    kStagesInStep));
  if (layout.context_parallel > 1) check_context(layout, use, say);
  if (layout.pipeline_parallel > 1)
    check_pipeline(layout, use, say);
  else if (layout.virtual_stages > 1)
    say("virtual_stages",
        fmt::format(
            "'virtual_stages' {} divides the stages of a pipeline, but pipeline_parallel is 1",
            layout.virtual_stages));
  if (layout.tensor_parallel <= 1 || use.sizes == nullptr) return;
  try {
    use.sizes->validate(layout.tensor_parallel);
  } catch (const runtime::Error& error) {
    say("tensor_parallel", error.what());
  }
}

std::string why_not_interleaved(const train::TrainConfig& config, const LayoutConfig& layout) {
  if (layout.virtual_stages <= 1 || layout.pipeline_parallel <= 1 ||
      layout.pipeline_schedule != parallel::ScheduleKind::k1F1B || layout.data_parallel < 1 ||
      config.micro_batch_size < 1)
    return "";
  const std::int64_t micro_batches =
      config.global_batch_size / layout.data_parallel / config.micro_batch_size;
  if (micro_batches % layout.pipeline_parallel == 0) return "";
  return fmt::format(
      "'virtual_stages' {} needs a multiple of pipeline_parallel {} as number of micro-batches, "
      "but "
      "a step has {} (global_batch_size {} / data_parallel {} / micro_batch_size {})",
      layout.virtual_stages, layout.pipeline_parallel, micro_batches, config.global_batch_size,
      layout.data_parallel, config.micro_batch_size);
}

std::string why_not_reproducible(const train::TrainConfig& config, const LayoutConfig& layout) {
  if (config.reproducible == train::Reproducible::kRun) return "";
  if (layout.pipeline_parallel > 1 || layout.context_parallel > 1 || layout.zero_stage > 0)
    return fmt::format(
        "'reproducible: layout' needs whole gradients of whole samples; set pipeline_parallel and "
        "context_parallel to 1 and zero_stage to 0 (the layout is {})",
        layout.str());
  if (config.optimizer.gradient_reduce_dtype != runtime::DType::kF32)
    return "'reproducible: layout' adds gradients up in fp32; set "
           "optimizer.gradient_reduce_dtype to fp32";
  const auto is_power_of_two = [](std::int64_t n) {
    return n > 0 && std::has_single_bit(static_cast<std::uint64_t>(n));
  };
  if (is_power_of_two(config.global_batch_size) && is_power_of_two(layout.data_parallel)) return "";
  return fmt::format(
      "'reproducible: layout' adds samples up in a binary tree, for which global_batch_size {} and "
      "data_parallel {} must be powers of two",
      config.global_batch_size, layout.data_parallel);
}

std::string smaller_layout(const std::string& key, const LayoutConfig& layout, std::int64_t ranks) {
  LayoutConfig one_copy = layout;
  one_copy.data_parallel = 1;
  const bool divided_too_far = one_copy.ranks() > ranks;
  const std::int64_t copies = divided_too_far ? 1 : ranks / one_copy.ranks();
  std::string text;
  const auto set = [&](const char* name, std::int64_t value) {
    text += fmt::format("{}{}.{}={}", text.empty() ? "" : " and ", key, name, value);
  };
  if (layout.data_parallel > copies) set("data_parallel", copies);
  if (divided_too_far && layout.pipeline_parallel > 1) set("pipeline_parallel", 1);
  if (divided_too_far && layout.context_parallel > 1) set("context_parallel", 1);
  if (divided_too_far && layout.tensor_parallel > 1) set("tensor_parallel", 1);
  return text;
}

}  // namespace tandem::launcher
