#include "data/tokenizer/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <unordered_map>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/hf_tokenizer.h"
#include "data/tokenizer/pair_merger.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/word_counter.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

// How many merges go by between two calls of the progress function.
constexpr std::int64_t kProgressStep = 64;

// Grows from special tokens and bytes to the whole vocabulary.
struct GrowingVocabulary {
  std::vector<std::string> tokens;
  std::unordered_map<std::string, TokenId> ids;

  // The id of a token, which may be new.
  TokenId add(const std::string& token) {
    const auto [entry, is_new] = ids.try_emplace(token, static_cast<TokenId>(tokens.size()));
    if (is_new) tokens.push_back(token);
    return entry->second;
  }
  std::int64_t size() const { return static_cast<std::int64_t>(tokens.size()); }
};

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
  merger.count_pairs();
}

}  // namespace

BpeTrainer::BpeTrainer(TokenizerConfig config)
    : config_(std::move(config)), words_(std::make_unique<WordCounter>()) {
  validate(config_);
}
BpeTrainer::~BpeTrainer() = default;

void BpeTrainer::add_document(std::string_view text) {
  TANDEM_CHECK(find_invalid_utf8(text) == std::string_view::npos, "a document that is not UTF-8");
  static const auto pre_tokenizer = make_gpt2_pre_tokenizer();
  std::vector<std::size_t> ends;
  for (std::size_t at = 0; at < text.size();) {
    ends.clear();
    const std::size_t reached = pre_tokenizer->split(text, at, ends);
    for (const std::size_t end : ends) {
      words_->add(text.substr(at, end - at));
      at = end;
    }
    at = reached;
  }
}

Tokenizer BpeTrainer::train(const Progress& progress) const {
  if (words_->size() == 0)
    runtime::throw_error("no text to train a tokenizer on; check the path of the tokenizer's data");
  GrowingVocabulary vocabulary;
  for (const std::string& token : all_special_tokens(config_)) vocabulary.add(token);
  const auto byte_ids = add_bytes(vocabulary);
  PairMerger merger;
  add_words(*words_, byte_ids, merger);
  std::vector<std::pair<TokenId, TokenId>> merges;
  while (vocabulary.size() < config_.vocab_size) {
    const auto best = merger.take_best(config_.min_frequency);
    if (!best) break;
    const TokenId merged =
        vocabulary.add(vocabulary.tokens[best->left] + vocabulary.tokens[best->right]);
    merges.emplace_back(best->left, best->right);
    merger.merge(*best, merged);
    if (progress && vocabulary.size() % kProgressStep == 0)
      progress(vocabulary.size(), config_.vocab_size);
  }
  if (progress) progress(vocabulary.size(), config_.vocab_size);
  return Tokenizer(compose_byte_level_bpe(config_, vocabulary.tokens, merges));
}

}  // namespace tandem::data
