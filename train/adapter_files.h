// A model's adapter in a directory that PEFT opens (models/adapters/adapter_directory.h).
#pragma once

#include <filesystem>

#include "models/model.h"

namespace tandem::train {

// Collective over the mesh.
void save_adapter(models::Model& model, const parallel::Mesh& mesh,
                  const std::filesystem::path& folder);
// Throws Error naming file and key, or tensor, where the adapter is one of another rank or model.
void load_adapter(models::Model& model, const std::filesystem::path& folder);

}  // namespace tandem::train
