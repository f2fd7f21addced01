#include "launcher/stages/model_directory.h"

#include "launcher/stages/stage_record.h"
#include "models/llama/llama.h"
#include "runtime/base/error.h"
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

std::unique_ptr<models::Model> load_model(const fs::path& directory,
                                          const models::BuildOptions& options, std::uint64_t seed) {
  const models::LlamaConfig config =
      models::read_llama_config((directory / "config.json").string());
  auto model = models::make_llama(config, options);
  model->parameters().initialize(seed);
  train::load_model_weights(*model, directory);
  return model;
}

}  // namespace tandem::launcher
