#include "launcher/stages/model_directory.h"

#include "launcher/stages/stage_record.h"
#include "models/adapters/adapter_directory.h"
#include "models/embedding/sentence_transformers.h"
#include "models/family.h"
#include "models/model_files.h"
#include "runtime/base/error.h"
#include "train/checkpoint.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

namespace {

// Empty unless there is exactly one.
fs::path only_gguf_in(const fs::path& directory) {
  fs::path found;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory))
    if (models::is_gguf(entry.path())) {
      if (!found.empty()) return {};
      found = entry.path();
    }
  return found;
}

}  // namespace

fs::path find_model(const fs::path& path) {
  if (models::is_gguf(path) && fs::exists(path)) return path;
  if (fs::exists(path / "config.json") || models::is_adapter(path)) return path;
  if (!fs::exists(path)) runtime::throw_error("{}: no such directory", path.string());
  if (!fs::is_directory(path))
    runtime::throw_error(
        "{}: not a model; name the directory with config.json and model.safetensors, or a .gguf "
        "file",
        path.string());
  if (const auto record = read_record(path); record && !record->result.empty())
    return path / record->result;
  if (const auto step = train::latest_checkpoint(path)) return train::checkpoint_path(path, *step);
  if (const fs::path gguf = only_gguf_in(path); !gguf.empty()) return gguf;
  runtime::throw_error(
      "{}: no model in this directory; one holds config.json and model.safetensors, or one .gguf "
      "file",
      path.string());
}

models::Head head_in(const fs::path& model) {
  const auto weights = models::open_weights(model);
  if (weights->contains("score.weight") || weights->contains("classifier.weight"))
    return models::Head::kClassification;
  if (models::read_embedding_config(model)) return models::Head::kHiddenStates;
  // An encoder without a language-model head.
  if (models::read_model_config(model)->kind() == models::ModelKind::kEncoder &&
      !weights->contains("cls.predictions.bias"))
    return models::Head::kHiddenStates;
  return models::Head::kLanguageModel;
}

std::unique_ptr<models::Model> load_model(const fs::path& path, const models::BuildOptions& options,
                                          std::uint64_t seed) {
  auto model = models::read_model_config(path)->make(options);
  if (models::Adapter* adapter = model->adapter()) {
    adapter->store().initialize(seed);
    adapter->set_seed(seed);
    adapter->set_base_model(fs::absolute(path).lexically_normal().string());
  }
  for (const std::size_t missing : train::load_model_weights(*model, path))
    model->parameters().initialize(missing, seed);
  return model;
}

}  // namespace tandem::launcher
