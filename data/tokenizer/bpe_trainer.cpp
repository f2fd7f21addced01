#include "data/tokenizer/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/hf_tokenizer.h"
#include "data/tokenizer/merge_training.h"

namespace tandem::data {
namespace {

// Ids of the bytes, given in the order of the characters that stand for them.
std::array<TokenId, 256> add_bytes(GrowingVocabulary& vocabulary) {
  std::array<std::uint8_t, 256> bytes;
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  std::sort(bytes.begin(), bytes.end(),
            [](std::uint8_t a, std::uint8_t b) { return byte_to_char(a) < byte_to_char(b); });
  std::array<TokenId, 256> ids;
  for (const std::uint8_t byte : bytes)
    ids[byte] = vocabulary.add(bytes_to_chars(std::string(1, static_cast<char>(byte))));
  return ids;
}

void add_words(const WordCounter& words, const std::array<TokenId, 256>& byte_ids,
               PairMerger& merger) {
  std::vector<TokenId> symbols;
  for (std::int64_t i = 0; i < words.size(); ++i) {
    symbols.clear();
    for (const char byte : words.word(i))
      symbols.push_back(byte_ids[static_cast<std::uint8_t>(byte)]);
    merger.add_word(symbols, words.count(i));
  }
}

TokenizerFiles untrained(const TokenizerConfig& config) {
  GrowingVocabulary vocabulary;
  for (const std::string& token : all_special_tokens(config)) vocabulary.add(token);
  add_bytes(vocabulary);
  return compose_byte_level_bpe(config, vocabulary.tokens(), {});
}

}  // namespace

BpeTrainer::BpeTrainer(TokenizerConfig config) : TokenizerTrainer(std::move(config), untrained) {}

TokenizerFiles BpeTrainer::learn(const WordCounter& words, const Progress& progress) const {
  GrowingVocabulary vocabulary;
  for (const std::string& token : all_special_tokens(config())) vocabulary.add(token);
  const auto byte_ids = add_bytes(vocabulary);
  PairMerger merger;
  add_words(words, byte_ids, merger);
  const auto merges = merge_pairs(config(), "", merger, vocabulary, progress);
  return compose_byte_level_bpe(config(), vocabulary.tokens(), merges);
}

}  // namespace tandem::data
