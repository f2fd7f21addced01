// WordPiece (BERT): a piece is the longest token that it starts with, then the longest that goes on
// from there under a prefix ("##"), and so on; a piece that cannot be put together so is one
// unknown token.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer/token_trie.h"
#include "data/tokenizer/word_model.h"

namespace tandem::data {

class WordPieceModel : public WordModel {
 public:
  struct Options {
    std::vector<std::pair<std::string, TokenId>> tokens;
    std::string continuing_prefix = "##";
    TokenId unknown = kNoToken;
    std::size_t max_characters = 100;  // a longer piece is unknown
  };

  explicit WordPieceModel(const Options& options);

  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Scratch>(); }

 protected:
  void encode_word(std::string_view word, Scratch& scratch,
                   std::vector<TokenId>& ids) const override;

 private:
  TokenTrie first_;
  TokenTrie continuing_;
  TokenId unknown_;
  std::size_t max_characters_;
};

}  // namespace tandem::data
