// Turns pieces of text into ids: bpe_model.h, wordpiece_model.h and unigram_model.h are such.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

class TokenModel {
 public:
  // What an encoding thread needs to itself: caches and scratch memory. Kept between calls.
  class Workspace {
   public:
    virtual ~Workspace() = default;
  };

  virtual ~TokenModel() = default;
  virtual std::unique_ptr<Workspace> make_workspace() const = 0;
  // Appends the ids of the pieces of `text` that start at `begin` and end at `ends`. `workspace`
  // comes from make_workspace() of this model and is used by one thread at a time.
  virtual void encode(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
                      Workspace& workspace, std::vector<TokenId>& ids) const = 0;
};

}  // namespace tandem::data
