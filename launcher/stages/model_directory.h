// Where a model lies on disk, and reading it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "models/model.h"

namespace tandem::launcher {

// The model that `path` means: itself (a checkpoint, a directory with config.json, a GGUF file), or
// the one GGUF file in it, or what a stage's folder ended with, or the latest checkpoint of a stage
// that has not ended. Throws Error where there is none.
std::filesystem::path find_model(const std::filesystem::path& path);

// What the files of such a model put on top of the last hidden state.
models::Head head_in(const std::filesystem::path& model);

// A model with the weights and sizes of such files. A scalar head that it lacks is drawn from
// `seed`. Collective over options.tp.
std::unique_ptr<models::Model> load_model(const std::filesystem::path& path,
                                          const models::BuildOptions& options,
                                          std::uint64_t seed = 0);

}  // namespace tandem::launcher
