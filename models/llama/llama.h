// Llama: RMSNorm, rotary positions, grouped-query attention, gated feed-forward (Touvron et al.
// 2023); and by configuration Mistral, Qwen2 and Qwen3.
#pragma once

#include <memory>

#include "models/llama/config.h"

namespace tandem::models {

// Parameters are allocated but hold no values: call parameters().initialize(seed) or load weights.
std::unique_ptr<Model> make_llama(const LlamaConfig& config, const BuildOptions& options);

}  // namespace tandem::models
