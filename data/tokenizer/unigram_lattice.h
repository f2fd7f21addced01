// All ways to write a word with the pieces of a Unigram model in training.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/token_trie.h"

namespace tandem::data {

// Pieces with log-probabilities. The first is the unknown piece, which stands for a character that
// no piece is; its own score has no meaning.
using ScoredPieces = std::vector<std::pair<std::string, double>>;

class UnigramLattice {
 public:
  explicit UnigramLattice(const ScoredPieces& pieces);

  void set_word(std::string_view word);

  // Adds to expected[piece] how often each piece is in the word, over all ways by their
  // probability, times `weight` (the forward-backward algorithm).
  void add_expected(double weight, std::span<double> expected);

  // The pieces of the likeliest way.
  std::vector<TokenId> best_path() const { return best_path(false); }
  // The same of all ways but that of one piece for the whole word; empty where there is none.
  std::vector<TokenId> best_path_of_several() const { return best_path(true); }

 private:
  struct Node {
    std::uint32_t begin, end;
    TokenId piece;
    double score;
  };

  std::vector<TokenId> best_path(bool of_several) const;

  TokenTrie trie_;
  std::vector<double> scores_;
  double unknown_score_;
  std::size_t length_ = 0;               // of the word, in bytes
  std::vector<Node> nodes_;              // by begin, then by end
  std::vector<double> before_, behind_;  // log-probabilities of all ways to and from a place
};

}  // namespace tandem::data
