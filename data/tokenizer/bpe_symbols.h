// The symbols that a piece is before BPE merges them.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

class BpeSymbols {
 public:
  virtual ~BpeSymbols() = default;
  virtual void append(std::string_view piece, std::vector<TokenId>& symbols) const = 0;
};

// One symbol for each byte. A byte with kNoToken is left out of the text, as Hugging Face does.
std::unique_ptr<BpeSymbols> make_byte_symbols(const std::array<TokenId, 256>& byte_ids);

struct CharacterSymbolOptions {
  // The token of a character.
  std::function<std::optional<TokenId>(std::string_view character)> find;
  // [256] what a character without token becomes when each of its bytes has one here.
  std::array<TokenId, 256> fallback;
  // What it becomes otherwise; with kNoToken it is left out.
  TokenId unknown = kNoToken;
  bool fuse_unknown = false;  // unknown characters in a row become one symbol
  // Tokens that are one symbol from the start, the longest where several fit.
  std::vector<std::pair<std::string, TokenId>> whole = {};
};

std::unique_ptr<BpeSymbols> make_character_symbols(CharacterSymbolOptions options);

}  // namespace tandem::data
