#include "models/model_files.h"

#include "models/adapters/adapter_directory.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_weights.h"
#include "runtime/io/safetensors.h"

namespace tandem::models {

namespace fs = std::filesystem;

bool is_gguf(const fs::path& path) {
  return path.extension() == ".gguf" && !fs::is_directory(path);
}

AnyConfig read_model_config(const fs::path& model) {
  if (is_gguf(model)) return read_gguf_config(runtime::GgufFile(model));
  if (is_adapter(model)) return read_model_config(find_base_model(model));
  return read_config((model / "config.json").string());
}

std::unique_ptr<runtime::TensorSource> open_weights(const fs::path& model) {
  if (is_gguf(model)) return std::make_unique<GgufWeights>(runtime::GgufFile(model));
  if (is_adapter(model)) return open_merged(model);
  return std::make_unique<runtime::ShardedSafetensors>(model);
}

}  // namespace tandem::models
