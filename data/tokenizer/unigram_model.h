// Unigram (Kudo, "Subword regularization", 2018): of all ways to cut a piece into tokens the one
// whose scores have the largest sum (Viterbi). A character that no token starts costs the lowest
// score less 10; such characters in a row become one unknown token, or their bytes' tokens.
#pragma once

#include <array>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer/token_trie.h"
#include "data/tokenizer/word_model.h"

namespace tandem::data {

class UnigramModel : public WordModel {
 public:
  struct Options {
    std::vector<std::pair<std::string, double>> tokens;  // with their scores, by id
    TokenId unknown = kNoToken;                          // kNoToken: such a text is refused
    // [256] tokens of the bytes, kNoToken where there is none or no byte fallback.
    std::array<TokenId, 256> fallback;
    // Tokens that are not looked for in a text.
    std::vector<bool> hidden = {};
    // SentencePiece's own arithmetic: sums are rounded to single precision, and unknown characters
    // in a row are not looked up as one token.
    bool as_sentencepiece = false;
  };

  explicit UnigramModel(const Options& options);

  std::unique_ptr<Workspace> make_workspace() const override;

 protected:
  void encode_word(std::string_view word, Scratch& scratch,
                   std::vector<TokenId>& ids) const override;

 private:
  // The best way that ends at a place of the piece.
  struct Node {
    TokenId id = kNoToken;
    bool reached = false;
    std::uint32_t begin = 0;  // of its last token
    double score = 0;
  };
  struct Lattice;

  void find_best(std::string_view word, std::vector<Node>& nodes) const;
  void reach(Node& node, std::uint32_t begin, TokenId id, double score) const;
  double rounded(double score) const {
    return as_sentencepiece_ ? static_cast<double>(static_cast<float>(score)) : score;
  }
  // Takes the first node's score from all that were reached.
  void start_from_zero(std::span<Node> nodes) const;
  void append_unknown(std::string_view text, std::vector<TokenId>& ids) const;

  TokenTrie trie_;
  std::vector<double> scores_;
  double unknown_score_;
  TokenId unknown_;
  std::array<TokenId, 256> fallback_;
  bool as_sentencepiece_;
};

}  // namespace tandem::data
