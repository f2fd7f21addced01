#include "data/tokenizer/merge_training.h"

namespace tandem::data {

namespace {

// How many merges go by between two calls of the progress function.
constexpr std::int64_t kProgressStep = 64;

std::string joined(const std::string& left, const std::string& right, const std::string& prefix) {
  return left + (right.starts_with(prefix) ? right.substr(prefix.size()) : right);
}

}  // namespace

TokenId GrowingVocabulary::add(const std::string& token) {
  const auto [entry, is_new] = ids_.try_emplace(token, static_cast<TokenId>(tokens_.size()));
  if (is_new) tokens_.push_back(token);
  return entry->second;
}

TokenId GrowingVocabulary::find(const std::string& token) const {
  const auto entry = ids_.find(token);
  return entry == ids_.end() ? kNoToken : entry->second;
}

std::vector<std::pair<TokenId, TokenId>> merge_pairs(const TokenizerConfig& config,
                                                     const std::string& continuing_prefix,
                                                     PairMerger& merger,
                                                     GrowingVocabulary& vocabulary,
                                                     const TokenizerTrainer::Progress& progress) {
  std::vector<std::pair<TokenId, TokenId>> merges;
  merger.count_pairs();
  while (vocabulary.size() < config.vocab_size) {
    const auto best = merger.take_best(config.min_frequency);
    if (!best) break;
    const TokenId merged = vocabulary.add(
        joined(vocabulary.token(best->left), vocabulary.token(best->right), continuing_prefix));
    merges.emplace_back(best->left, best->right);
    merger.merge(*best, merged);
    if (progress && vocabulary.size() % kProgressStep == 0)
      progress(vocabulary.size(), config.vocab_size);
  }
  if (progress) progress(vocabulary.size(), config.vocab_size);
  return merges;
}

}  // namespace tandem::data
