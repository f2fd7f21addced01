#include "launcher/stages/model_directory.h"

#include "launcher/stages/stage_record.h"
#include "models/family.h"
#include "runtime/base/error.h"
#include "runtime/io/safetensors.h"
#include "train/checkpoint.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

fs::path find_model_directory(const fs::path& path) {
  if (fs::exists(path / "config.json")) return path;
  if (!fs::is_directory(path)) runtime::throw_error("{}: no such directory", path.string());
  if (const auto record = read_record(path); record && !record->result.empty())
    return path / record->result;
  if (const auto step = train::latest_checkpoint(path)) return train::checkpoint_path(path, *step);
  runtime::throw_error(
      "{}: no model in this directory; one holds config.json and model.safetensors", path.string());
}

models::Head head_in(const fs::path& directory) {
  const runtime::ShardedSafetensors files(directory);
  if (files.contains("score.weight")) return models::Head::kScalar;
  // An encoder without a language-model head.
  const auto config = models::read_config((directory / "config.json").string());
  if (config->kind() == models::ModelKind::kEncoder && !files.contains("cls.predictions.bias"))
    return models::Head::kHiddenStates;
  return models::Head::kLanguageModel;
}

std::unique_ptr<models::Model> load_model(const fs::path& directory,
                                          const models::BuildOptions& options, std::uint64_t seed) {
  auto model = models::read_config((directory / "config.json").string())->make(options);
  model->parameters().initialize(seed);
  train::load_model_weights(*model, directory);
  return model;
}

}  // namespace tandem::launcher
