// Reads and composes the files of a Hugging Face tokenizer directory.
//
// Read so far: byte-level BPE (GPT-2's pattern), i.e. in tokenizer.json a `model` of type BPE, a
// `pre_tokenizer` and a `decoder` ByteLevel, a `post_processor` ByteLevel or TemplateProcessing,
// any `added_tokens` without single_word, no `normalizer`. `truncation` and `padding` are left to
// the caller. Anything else is refused with its name.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/config.h"
#include "data/tokenizer/tokenizer_parts.h"

namespace tandem::data {

std::unique_ptr<TokenizerParts> parse_hf_tokenizer(TokenizerFiles files, std::string_view origin);

// The files of a byte-level BPE tokenizer. `vocabulary` holds tokens as the file writes them, by
// id; the special tokens of the configuration are among them. `merges` are pairs of ids in order of
// rank.
TokenizerFiles compose_byte_level_bpe(const TokenizerConfig& config,
                                      const std::vector<std::string>& vocabulary,
                                      const std::vector<std::pair<TokenId, TokenId>>& merges);

// The files with further special tokens, numbered from `next_id` on.
TokenizerFiles add_special_tokens(TokenizerFiles files, const std::vector<std::string>& tokens,
                                  TokenId next_id);

}  // namespace tandem::data
