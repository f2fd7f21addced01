#include "data/tokenizer/wordpiece_trainer.h"

#include <algorithm>
#include <set>

#include "data/tokenizer/characters.h"
#include "data/tokenizer/hf_tokenizer.h"
#include "data/tokenizer/merge_training.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

constexpr const char* kPrefix = "##";

// The most frequent characters, by code point; of equally frequent ones the smaller.
std::vector<std::string> alphabet_of(const WordCounter& words, std::int64_t limit) {
  std::vector<std::pair<std::int64_t, std::string>> counted;
  for (const auto& [character, count] : count_characters(words))
    counted.emplace_back(count, character);
  std::ranges::stable_sort(counted, std::greater<>(),
                           [](const auto& entry) { return entry.first; });
  if (limit > 0 && static_cast<std::int64_t>(counted.size()) > limit)
    counted.resize(static_cast<std::size_t>(limit));
  std::vector<std::string> alphabet;
  for (auto& [count, character] : counted) alphabet.push_back(std::move(character));
  std::ranges::sort(alphabet);  // of UTF-8: by code point
  return alphabet;
}

// As the vocabulary has a word's characters; those outside of the alphabet are left out.
std::vector<std::string> symbols_of(std::string_view word, const std::set<std::string>& alphabet) {
  std::vector<std::string> symbols;
  bool is_first = true;
  for_each_character(word, [&](std::string_view character) {
    const std::string symbol(character);
    if (alphabet.contains(symbol)) symbols.push_back(is_first ? symbol : kPrefix + symbol);
    is_first = false;
  });
  return symbols;
}

void add_alphabet(const WordCounter& words, const std::vector<std::string>& alphabet,
                  GrowingVocabulary& vocabulary) {
  for (const std::string& character : alphabet) vocabulary.add(character);
  const std::set<std::string> known(alphabet.begin(), alphabet.end());
  std::set<std::string> inside;
  for (std::int64_t i = 0; i < words.size(); ++i)
    for (std::string& symbol : symbols_of(words.word(i), known))
      if (vocabulary.find(symbol) == kNoToken) inside.insert(std::move(symbol));
  for (const std::string& symbol : inside) vocabulary.add(symbol);
}

void add_words(const WordCounter& words, const std::vector<std::string>& alphabet,
               const GrowingVocabulary& vocabulary, PairMerger& merger) {
  const std::set<std::string> known(alphabet.begin(), alphabet.end());
  std::vector<TokenId> ids;
  for (std::int64_t i = 0; i < words.size(); ++i) {
    ids.clear();
    for (const std::string& symbol : symbols_of(words.word(i), known))
      ids.push_back(vocabulary.find(symbol));
    merger.add_word(ids, words.count(i));
  }
}

TokenizerFiles untrained(const TokenizerConfig& config) {
  return compose_wordpiece(config, all_special_tokens(config));
}

}  // namespace

WordPieceTrainer::WordPieceTrainer(TokenizerConfig config)
    : TokenizerTrainer(std::move(config), untrained) {}

TokenizerFiles WordPieceTrainer::learn(const WordCounter& words, const Progress& progress) const {
  GrowingVocabulary vocabulary;
  for (const std::string& token : all_special_tokens(config())) vocabulary.add(token);
  const std::vector<std::string> alphabet = alphabet_of(words, config().limit_alphabet);
  add_alphabet(words, alphabet, vocabulary);
  if (vocabulary.size() > config().vocab_size)
    runtime::throw_error(
        "vocab_size {} is too small: special tokens and {} characters of the text need {}; raise "
        "it, or lower limit_alphabet",
        config().vocab_size, alphabet.size(), vocabulary.size());
  PairMerger merger;
  add_words(words, alphabet, vocabulary, merger);
  merge_pairs(config(), kPrefix, merger, vocabulary, progress);
  return compose_wordpiece(config(), vocabulary.tokens());
}

}  // namespace tandem::data
