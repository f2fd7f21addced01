#include "data/tokenizer/config.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace tandem::data {

using runtime::throw_error;

void TokenizerConfig::visit_fields(runtime::FieldVisitor& v) {
  v.choice({"model", "bpe: of bytes, as GPT-2 and Llama 3; wordpiece: as BERT; unigram: as T5"},
           model, {"bpe", "wordpiece", "unigram"});
  v.field({"vocab_size", "entries of the vocabulary, special tokens and the 256 bytes included"},
          vocab_size);
  v.field({"min_frequency", "a pair seen less often than this is not merged (not for unigram)"},
          min_frequency);
  v.field({"bos_token", "token before every text; empty for none"}, bos_token);
  v.field({"eos_token", "token after every text, which ends generation"}, eos_token);
  v.field({"pad_token", "token that fills up fixed-length responses; must differ from eos_token"},
          pad_token);
  v.field({"special_tokens",
           "further tokens that are never split, such as the marks of a chat template"},
          special_tokens);
  v.field(
      {"extra_ids",
       "sentinels <extra_id_0>, <extra_id_1>, … for the objective span_corruption (T5 has 100)"},
      extra_ids);
  v.field(
      {"unk_token", "wordpiece, unigram: token for what the vocabulary cannot spell (BERT: [UNK])"},
      unk_token);
  v.field({"lowercase", "wordpiece: lower-case the text and take accents away"}, lowercase);
  v.field({"limit_alphabet",
           "wordpiece: so many of the text's most frequent characters get into the vocabulary; 0: "
           "all"},
          limit_alphabet);
}

std::vector<std::string> all_special_tokens(const TokenizerConfig& config) {
  std::vector<std::string> tokens;
  const auto add = [&](const std::string& token) {
    if (!token.empty() && std::find(tokens.begin(), tokens.end(), token) == tokens.end())
      tokens.push_back(token);
  };
  add(config.bos_token);
  add(config.eos_token);
  add(config.pad_token);
  if (config.model != TokenizerModel::kBpe) add(config.unk_token);
  for (const std::string& token : config.special_tokens) add(token);
  for (std::int64_t i = 0; i < config.extra_ids; ++i) add("<extra_id_" + std::to_string(i) + ">");
  return tokens;
}

void validate(const TokenizerConfig& config) {
  if (config.eos_token.empty())
    throw_error(
        "eos_token is empty: nothing would end a text; set it, for example to <|endoftext|>");
  if (config.pad_token == config.eos_token)
    throw_error(
        "pad_token and eos_token are both '{}': padding would look like the end of a text; choose "
        "another "
        "pad_token, for example <|pad|>",
        config.eos_token);
  if (std::count(config.special_tokens.begin(), config.special_tokens.end(), ""))
    throw_error("special_tokens has an empty entry; remove it");
  if (config.extra_ids < 0) throw_error("extra_ids is {}; use 0 for none", config.extra_ids);
  const bool of_bytes = config.model == TokenizerModel::kBpe;
  if (!of_bytes && config.unk_token.empty())
    throw_error(
        "unk_token is empty: nothing would stand for characters that are not in the vocabulary; "
        "set "
        "it, for example to <unk>");
  if (config.limit_alphabet < 0)
    throw_error("limit_alphabet is {}; use 0 for no limit", config.limit_alphabet);
  const auto special = static_cast<std::int64_t>(all_special_tokens(config).size());
  if (of_bytes && config.vocab_size < 256 + special)
    throw_error("vocab_size {} is too small: the 256 bytes and {} special tokens need at least {}",
                config.vocab_size, special, 256 + special);
  if (config.vocab_size <= special)
    throw_error("vocab_size {} is too small: there are {} special tokens", config.vocab_size,
                special);
  if (config.min_frequency < 1)
    throw_error("min_frequency is {}; it must be at least 1", config.min_frequency);
}

}  // namespace tandem::data
