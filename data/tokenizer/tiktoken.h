// tiktoken's rank files (`cl100k_base.tiktoken`, Llama 3's `tokenizer.model`): lines of a token in
// base64 and its rank. The rest of an encoding (the pattern that cuts a text, special tokens) is
// not in the file and follows from its name.
#pragma once

#include <string>
#include <string_view>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// Whether a file's text looks like one.
bool is_tiktoken(std::string_view text);

// `files` has the companion files only; `name` is the file's name without folder. Known: gpt2,
// r50k_base, p50k_base, p50k_edit, cl100k_base, o200k_base, qwen, each `.tiktoken`, and
// `tokenizer.model`, which is Llama 3. Throws Error for another name, and naming `origin` and line
// for what is malformed.
TokenizerFiles compose_from_tiktoken(TokenizerFiles files, std::string_view text,
                                     std::string_view name, std::string_view origin);

}  // namespace tandem::data
