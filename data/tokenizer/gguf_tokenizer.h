// The tokenizer in a GGUF file's metadata (`tokenizer.ggml.*`): byte-level BPE (model gpt2),
// SentencePiece (llama, t5) or WordPiece (bert), composed into a tokenizer.json.
#pragma once

#include "data/tokenizer/tokenizer.h"
#include "runtime/io/gguf.h"

namespace tandem::data {

// Throws Error naming file and key for what is missing, malformed or not supported.
TokenizerFiles compose_from_gguf(const runtime::GgufFile& file);

}  // namespace tandem::data
