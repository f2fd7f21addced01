// What a recipe says about training a tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/fields.h"

namespace tandem::data {

enum class TokenizerModel { kBpe, kWordPiece, kUnigram };

struct TokenizerConfig {
  TokenizerModel model = TokenizerModel::kBpe;
  std::int64_t vocab_size = 8192;
  std::int64_t min_frequency = 2;
  std::string bos_token = {};
  std::string eos_token = "<|endoftext|>";
  std::string pad_token = "<|pad|>";
  std::vector<std::string> special_tokens = {};
  std::int64_t extra_ids = 0;
  std::string unk_token = "<unk>";
  bool lowercase = true;
  std::int64_t limit_alphabet = 1000;

  void visit_fields(runtime::FieldVisitor& v);
};

// Every special token once, in the order of their ids: bos, eos, pad, unk except with kBpe, then
// special_tokens, then <extra_id_0>, <extra_id_1>, ….
std::vector<std::string> all_special_tokens(const TokenizerConfig& config);

// Throws Error when the vocabulary cannot hold the special tokens (and with kBpe the 256 bytes), or
// a special token is empty.
void validate(const TokenizerConfig& config);

}  // namespace tandem::data
