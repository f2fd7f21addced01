// The sizes of a model in a GGUF file, as the family's configuration.
#pragma once

#include "models/family.h"
#include "runtime/io/gguf.h"

namespace tandem::models {

// Architectures llama (also Mistral), qwen2 and qwen3. Throws Error naming file and key for another
// one, and for a feature that is not supported.
AnyConfig read_gguf_config(const runtime::GgufFile& file);

}  // namespace tandem::models
