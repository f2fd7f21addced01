// A recipe: one YAML file that says everything about a run, from raw text to an aligned model.
// Reading is strict; what a later stage takes over from an earlier one, and what follows from the
// number of ranks, is filled in, so that the resolved recipe says everything explicitly and gives
// the same run again.
//
//   Recipe recipe = load_recipe("recipes/rlhf.yaml", {"pretrain.steps=10"}, world_size);
//   require_valid(recipe, world_size);                                        // checks.h
//   write_file_atomically(run_dir / "recipe.yaml", to_yaml(recipe));          // writer.h
//   for (const Stage& stage : recipe.stages)
//     if (const auto* sft = std::get_if<SftStage>(&stage.config)) …
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/recipe/section_reader.h"
#include "launcher/recipe/stages.h"
#include "models/family.h"
#include "runtime/base/dtype.h"
#include "runtime/kernels/backend.h"

namespace tandem::launcher {

// What the first stage that trains a model starts from: sizes, or a directory with config.json and
// weights.
struct ModelConfig {
  std::string from;
  models::AnyConfig sizes;  // of the family that `model_type` names

  void visit_fields(runtime::FieldVisitor& v);
};

struct Recipe {
  std::string name;
  std::string run_dir;
  std::int64_t seed = 1234;
  std::string device = "auto";  // parallel/comm/device/choice.h
  runtime::DeviceOptions device_options;
  runtime::Precision precision = runtime::Precision::kBf16;
  std::string tokenizer_from;
  std::string chat_template = "{prompt}{completion}{eos}";
  std::string messages_template;
  double timeout = 300.0;
  ModelConfig model;
  std::vector<Stage> stages;

  std::string file;  // as given on the command line
  Origins origins;

  // All but the stages.
  void visit_fields(runtime::FieldVisitor& v);
  // Null when there is none.
  const Stage* find_stage(std::string_view stage_name) const;
  // Everything that a stage writes.
  std::filesystem::path stage_folder(std::string_view stage_name) const {
    return std::filesystem::path(run_dir) / stage_name;
  }
};

// "stages.pretrain": where the origins of a stage's keys are.
std::string stage_path(std::string_view stage_name);

// Reads and fills in. `overrides` are "key.path=value"; a stage's keys are "stages.NAME.key" or
// "NAME.key". Without `world_size` what depends on the number of ranks keeps its defaults. Throws
// Error "file:line: …" or "command line: …" for the first thing that is wrong.
Recipe load_recipe(const std::filesystem::path& file, std::span<const std::string> overrides = {},
                   std::optional<std::int64_t> world_size = std::nullopt);
// The same from text; `name` stands for the file in errors.
Recipe parse_recipe(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides = {},
                    std::optional<std::int64_t> world_size = std::nullopt);

}  // namespace tandem::launcher
