// An adapter on disk, as PEFT writes it: adapter_config.json, which names the model below it, and
// adapter_model.safetensors.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/adapters/lora.h"
#include "runtime/io/tensor_source.h"

namespace tandem::models {

inline constexpr std::string_view kAdapterConfig = "adapter_config.json";
inline constexpr std::string_view kAdapterWeights = "adapter_model.safetensors";
// Before the names of modules in adapter_model.safetensors.
inline constexpr std::string_view kAdapterPrefix = "base_model.model.";

struct AdapterConfig {
  std::string base_model;  // a directory or GGUF file
  LoraConfig lora;
  // Files of the base model hold matrices as [in, out] (GPT-2's Conv1D).
  bool fan_in_fan_out = false;
  // Weights that are trained as a whole (a scalar head).
  std::vector<std::string> modules_to_save = {};
};

bool is_adapter(const std::filesystem::path& folder);
// Throws Error naming file and key for an adapter of another kind (DoRA, ranks by module, …).
AdapterConfig read_adapter_config(const std::filesystem::path& folder);
std::string to_json(const AdapterConfig& config, std::string_view task_type);
// Where the base model is: as the adapter says, or beside the adapter's folder. Throws Error where
// it is at neither place.
std::filesystem::path find_base_model(const std::filesystem::path& folder);

// The base model's weights with the adapter in them: W + alpha/rank · B·A. Throws Error where the
// adapter is not one of this base model.
std::unique_ptr<runtime::TensorSource> open_merged(const std::filesystem::path& folder);

}  // namespace tandem::models
