// An embedding model's directory in the form of sentence-transformers: beside a Hugging Face
// model's files, modules.json says what follows the transformer (pooling, normalisation).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/embedding/pooling.h"

namespace tandem::models {

struct EmbeddingConfig {
  Pooling pooling = Pooling::kMean;
  bool normalize = true;
  std::int64_t max_length = 0;  // tokens of a text, what the tokenizer adds included; 0: not said
};

// None where the directory has no modules.json. Throws Error naming file and key for a module or a
// way of pooling that is not supported.
std::optional<EmbeddingConfig> read_embedding_config(const std::filesystem::path& directory);

// Files that a directory holds beside a model's own: path in it, and text.
using CompanionFiles = std::vector<std::pair<std::filesystem::path, std::string>>;
// Those that every version of sentence-transformers reads. `width`: of an embedding.
CompanionFiles embedding_files(const EmbeddingConfig& config, std::int64_t width);

}  // namespace tandem::models
