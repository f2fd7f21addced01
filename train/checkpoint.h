// Checkpoints of a training stage: folders `checkpoint-N` that are whole or absent. Each is a
// Hugging Face directory (config.json, model.safetensors in fp32, or PEFT's files of an adapter;
// tokenizer files), with two more
// files for going on: optimizer.safetensors (moments under the parameters' logical names) and
// state.json. Any layout can load what any layout saved.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "models/embedding/sentence_transformers.h"
#include "train/engine.h"
#include "train/state.h"

namespace tandem::train {

struct CheckpointParts {
  Engine* engine = nullptr;
  StateRegistry* state = nullptr;
  const data::Tokenizer* tokenizer = nullptr;
  models::CompanionFiles companions = {};
};

// The folder of step `step`.
std::filesystem::path checkpoint_path(const std::filesystem::path& stage_folder, std::int64_t step);
// The highest step with a complete checkpoint.
std::optional<std::int64_t> latest_checkpoint(const std::filesystem::path& stage_folder);

// Removes what a killed process left: half-written folders, and checkpoints beyond the `keep`
// latest. On one rank, while nobody writes.
void tidy_checkpoints(const std::filesystem::path& stage_folder, std::int64_t keep);

// Collective over the engine's mesh. On the first rank's return the folder exists; `keep` older
// ones stay, the rest are removed. A failing disk is an Error and leaves earlier checkpoints as
// they were.
void save_checkpoint(const CheckpointParts& parts, const std::filesystem::path& stage_folder,
                     std::int64_t step, std::int64_t keep);

// One such folder under any name, without removing others.
void save_checkpoint_folder(const CheckpointParts& parts, const std::filesystem::path& folder);

// Restores parameters, optimizer and state. Throws Error naming file and tensor for what is damaged
// or does not fit.
void load_checkpoint(const CheckpointParts& parts, const std::filesystem::path& folder);

// A model directory without training state: for exports and for models that are not trained on.
void save_model_directory(models::Model& model, const parallel::Mesh& mesh,
                          const data::Tokenizer* tokenizer, const std::filesystem::path& folder,
                          runtime::DType dtype, const models::CompanionFiles& companions = {});
// Weights only, from a checkpoint, any Hugging Face directory or a GGUF file. Returns the
// parameters that the file lacks and may lack (a scalar head), which keep their values.
std::vector<std::size_t> load_model_weights(models::Model& model,
                                            const std::filesystem::path& folder);

}  // namespace tandem::train
