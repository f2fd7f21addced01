// A model on disk, whatever its format: a directory in Hugging Face's form (config.json and
// safetensors), one GGUF file, or PEFT's directory of an adapter, which is read as the model below
// it with the adapter merged in.
#pragma once

#include <filesystem>
#include <memory>

#include "models/family.h"
#include "runtime/io/tensor_source.h"

namespace tandem::models {

bool is_gguf(const std::filesystem::path& path);

// Both throw Error naming the file, and key or tensor, for what is missing, damaged or not
// supported.
AnyConfig read_model_config(const std::filesystem::path& model);
std::unique_ptr<runtime::TensorSource> open_weights(const std::filesystem::path& model);

}  // namespace tandem::models
