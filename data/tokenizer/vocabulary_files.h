// Tokenizer directories from before tokenizer.json: BERT's vocab.txt, GPT-2's and RoBERTa's
// vocab.json with merges.txt. They are composed into a tokenizer.json as transformers does it; what
// the companion files leave out is what the tokenizer's class has by default.
#pragma once

#include <string>
#include <string_view>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// `files` has the companion files only; `origin` names the directory's files in errors.
TokenizerFiles compose_from_vocab_txt(TokenizerFiles files, std::string_view vocab_txt,
                                      std::string_view origin);
TokenizerFiles compose_from_merges(TokenizerFiles files, const std::string& vocab_json,
                                   std::string_view merges_txt, std::string_view origin);

}  // namespace tandem::data
