// Where a model lies on disk, and reading it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "models/model.h"

namespace tandem::launcher {

// The directory with config.json that `path` means: itself (a checkpoint, a Hugging Face model), or
// what a stage's folder ended with, or the latest checkpoint of a stage that has not ended. Throws
// Error where there is none.
std::filesystem::path find_model_directory(const std::filesystem::path& path);

// What the files of such a directory put on top of the last hidden state.
models::Head head_in(const std::filesystem::path& directory);

// A model with the weights and sizes of such a directory. A scalar head that it lacks is drawn from
// `seed`. Collective over options.tp.
std::unique_ptr<models::Model> load_model(const std::filesystem::path& directory,
                                          const models::BuildOptions& options,
                                          std::uint64_t seed = 0);

}  // namespace tandem::launcher
