// A whole text as models read it that judge or embed it: with what the tokenizer's template puts
// around it ([CLS] … [SEP]), which stays where the text is cut.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// At most `max_length` tokens, of which the text keeps its first ones. Empty for an empty text and
// a tokenizer without template. Throws Error when the template alone is longer.
std::vector<TokenId> encode_whole_text(const Tokenizer& tokenizer, std::string_view text,
                                       std::int64_t max_length);

}  // namespace tandem::data
