// What BPE and WordPiece training share: a vocabulary that grows by merging the most frequent pair
// of neighbours.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/tokenizer/pair_merger.h"
#include "data/tokenizer/tokenizer_trainer.h"

namespace tandem::data {

// Grows from special tokens and an alphabet to the whole vocabulary.
class GrowingVocabulary {
 public:
  // The id of a token, which may be new.
  TokenId add(const std::string& token);
  // kNoToken where there is none.
  TokenId find(const std::string& token) const;

  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::string& token(TokenId id) const { return tokens_[static_cast<std::size_t>(id)]; }
  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }

 private:
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, TokenId> ids_;
};

// Merges until the vocabulary has config.vocab_size entries or no pair is left that is seen
// config.min_frequency times. A merged token is the left one and the right one without
// `continuing_prefix`. The pairs that were merged, in their order.
std::vector<std::pair<TokenId, TokenId>> merge_pairs(const TokenizerConfig& config,
                                                     const std::string& continuing_prefix,
                                                     PairMerger& merger,
                                                     GrowingVocabulary& vocabulary,
                                                     const TokenizerTrainer::Progress& progress);

}  // namespace tandem::data
