// Reads and composes the files of a Hugging Face tokenizer directory.
//
// Read from tokenizer.json:
// - model: BPE (byte-level or of characters, byte_fallback), WordPiece, Unigram;
// - normalizer: BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend,
//   Replace, Strip, StripAccents;
// - pre_tokenizer: BertPreTokenizer, ByteLevel (last, with BPE), Digits, Metaspace, Punctuation,
//   Split, Whitespace, WhitespaceSplit;
// - decoder: ByteFallback, ByteLevel (first), Fuse, Metaspace, Replace, Strip, WordPiece, or none;
// - post_processor: BertProcessing, ByteLevel, RobertaProcessing, TemplateProcessing;
// - Sequences of any of these, and any added_tokens.
// What SentencePiece and tiktoken do in another way than these parts stands beside them under keys
// that Hugging Face passes over: `sentencepiece` in normalizer and decoder, `as_sentencepiece`,
// `hidden_tokens`, `whole_tokens` in the model, `found_by_model` in an added
// token. Files that we compose have them (sentencepiece.h, tiktoken.h).
// `truncation` and `padding` are left to the caller. Anything else is refused with its name.
// Regular expressions are run by PCRE2.
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

// The files of a WordPiece tokenizer that cleans and cuts text as BERT's, with bos and eos around
// every text. `vocabulary` by id, as above.
TokenizerFiles compose_wordpiece(const TokenizerConfig& config,
                                 const std::vector<std::string>& vocabulary);

// The files of a Unigram tokenizer whose pieces start with U+2581 where words start, as
// SentencePiece's, with bos before and eos behind every text. `vocabulary` has scores; by id.
TokenizerFiles compose_unigram(const TokenizerConfig& config,
                               const std::vector<std::pair<std::string, double>>& vocabulary);

// The files with further special tokens, numbered from `next_id` on.
TokenizerFiles add_special_tokens(TokenizerFiles files, const std::vector<std::string>& tokens,
                                  TokenId next_id);

}  // namespace tandem::data
