#include "data/noise/noise.h"

#include <array>
#include <cmath>
#include <string_view>

#include "runtime/base/error.h"

namespace tandem::data {
namespace {

using runtime::throw_error;

TokenId find_mask(const Tokenizer& tokenizer, const NoiseConfig& config) {
  if (!config.mask_token.empty()) {
    if (const auto id = tokenizer.token_to_id(config.mask_token)) return *id;
    throw_error(
        "the tokenizer has no token '{}', which noise.mask_token names; add it to the tokenizer "
        "stage's special_tokens",
        config.mask_token);
  }
  for (const std::string_view name : {"[MASK]", "<mask>", "<|mask|>"})
    if (const auto id = tokenizer.token_to_id(name)) return *id;
  return kNoToken;
}

std::vector<TokenId> find_sentinels(const Tokenizer& tokenizer) {
  std::vector<TokenId> sentinels;
  while (const auto id =
             tokenizer.token_to_id("<extra_id_" + std::to_string(sentinels.size()) + ">"))
    sentinels.push_back(*id);
  return sentinels;
}

// Byte-level BPE, SentencePiece: words begin with a mark for the space before them.
constexpr std::array<std::string_view, 2> kWordMarks{"Ġ", "▁"};
// WordPiece: all pieces of a word but the first begin with this.
constexpr std::string_view kContinuation = "##";

bool begins_with_mark(std::string_view token) {
  for (const std::string_view mark : kWordMarks)
    if (token.starts_with(mark)) return true;
  return token.starts_with("Ċ");
}

}  // namespace

void NoiseConfig::visit_fields(runtime::FieldVisitor& v) {
  v.field({"density",
           "part of the tokens that is hidden; 0: 0.15 for masked and span_corruption, 0.3 for "
           "infilling"},
          density);
  v.field(
      {"mean_span_length", "mean length of what is hidden in one piece (not for masked)", "tokens"},
      mean_span_length);
  v.field({"whole_words", "masked: hide words, not pieces of them"}, whole_words);
  v.field({"permute_sentences", "infilling: put the sentences into another order too"},
          permute_sentences);
  v.field(
      {"mask_token",
       "token that stands for what is hidden (not for span_corruption, which uses <extra_id_0>, "
       "…); empty: the first that the tokenizer has of [MASK], <mask>, <|mask|>"},
      mask_token);
}

std::int64_t Draws::poisson(double mean) {
  const double limit = std::exp(-mean);
  std::int64_t count = 0;
  for (double product = uniform(); product > limit; product *= uniform()) ++count;
  return count;
}

std::vector<std::int64_t> choose(std::int64_t count, std::int64_t bound, Draws& draws) {
  TANDEM_CHECK(count <= bound, "{} of {} numbers", count, bound);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < bound && count > 0; ++i) {
    if (draws.below(bound - i) >= count) continue;
    chosen.push_back(i);
    --count;
  }
  return chosen;
}

NoiseVocabulary noise_vocabulary(const Tokenizer& tokenizer, const NoiseConfig& config) {
  NoiseVocabulary vocabulary;
  vocabulary.size = tokenizer.vocab_size();
  vocabulary.mask = find_mask(tokenizer, config);
  vocabulary.eos = tokenizer.special_ids().eos;
  vocabulary.sentinels = find_sentinels(tokenizer);
  bool has_marks = false;
  for (TokenId id = 0; id < vocabulary.size; ++id)
    has_marks = has_marks || begins_with_mark(tokenizer.id_to_token(id));
  for (TokenId id = 0; id < vocabulary.size; ++id) {
    const std::string_view token = tokenizer.id_to_token(id);
    const bool special = tokenizer.is_special(id);
    vocabulary.special.push_back(special);
    vocabulary.continues_word.push_back(
        !special && (has_marks ? !begins_with_mark(token) : token.starts_with(kContinuation)));
    vocabulary.ends_sentence.push_back(!special && !token.empty() &&
                                       std::string_view(".!?").find(token.back()) != token.npos);
  }
  return vocabulary;
}

void require_mask(const NoiseVocabulary& vocabulary, std::string_view objective) {
  if (vocabulary.mask == kNoToken)
    throw_error(
        "the tokenizer has no mask token ([MASK], <mask> or <|mask|>), which the objective '{}' "
        "needs; add <mask> to the tokenizer stage's special_tokens, or name the tokenizer's in "
        "noise.mask_token",
        objective);
}

}  // namespace tandem::data
