// A TokenModel that encodes piece by piece and remembers short pieces (word_cache.h).
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "data/tokenizer/token_model.h"
#include "data/tokenizer/word_cache.h"

namespace tandem::data {

class WordModel : public TokenModel {
 public:
  struct Scratch : public Workspace {
    WordCache cache;
  };

  void encode(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
              Workspace& workspace, std::vector<TokenId>& ids) const final;

 protected:
  // Appends the ids of a piece, which is not empty. `scratch` is from make_workspace() of the
  // model.
  virtual void encode_word(std::string_view word, Scratch& scratch,
                           std::vector<TokenId>& ids) const = 0;

 private:
  void encode_piece(std::string_view piece, std::size_t readable, Scratch& scratch,
                    std::vector<TokenId>& ids) const;
};

}  // namespace tandem::data
