#include "data/tokenizer/bpe_symbols.h"

#include <algorithm>
#include <utility>

#include "data/tokenizer/token_trie.h"
#include "data/utf8.h"

namespace tandem::data {
namespace {

class ByteSymbols : public BpeSymbols {
 public:
  explicit ByteSymbols(const std::array<TokenId, 256>& byte_ids) : byte_ids_(byte_ids) {}

  void append(std::string_view piece, std::vector<TokenId>& symbols) const override {
    for (const char byte : piece) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(byte)];
      if (id != kNoToken) symbols.push_back(id);
    }
  }

 private:
  std::array<TokenId, 256> byte_ids_;
};

class CharacterSymbols : public BpeSymbols {
 public:
  explicit CharacterSymbols(CharacterSymbolOptions options)
      : options_(std::move(options)), whole_(std::move(options_.whole)) {}

  // An unknown symbol is put down when the next known character or unknown symbol comes, so one
  // that bytes follow stands behind them: Hugging Face's order.
  void append(std::string_view piece, std::vector<TokenId>& symbols) const override {
    bool unknown_waits = false;
    for (std::size_t at = 0; at < piece.size();) {
      if (const auto token = whole_.longest_prefix(piece.substr(at)); token.length > 0) {
        if (std::exchange(unknown_waits, false)) symbols.push_back(options_.unknown);
        symbols.push_back(token.id);
        at += token.length;
        continue;
      }
      const std::string_view character = piece.substr(at, decode_utf8(piece, at).length);
      at += character.size();
      if (const auto id = options_.find(character)) {
        if (std::exchange(unknown_waits, false)) symbols.push_back(options_.unknown);
        symbols.push_back(*id);
      } else if (!append_bytes(character, symbols) && options_.unknown != kNoToken) {
        if (unknown_waits && !options_.fuse_unknown) symbols.push_back(options_.unknown);
        unknown_waits = true;
      }
    }
    if (unknown_waits) symbols.push_back(options_.unknown);
  }

 private:
  bool append_bytes(std::string_view character, std::vector<TokenId>& symbols) const {
    const auto id = [&](char byte) { return options_.fallback[static_cast<unsigned char>(byte)]; };
    if (std::any_of(character.begin(), character.end(), [&](char b) { return id(b) == kNoToken; }))
      return false;
    for (const char byte : character) symbols.push_back(id(byte));
    return true;
  }

  CharacterSymbolOptions options_;
  TokenTrie whole_;
};

}  // namespace

std::unique_ptr<BpeSymbols> make_byte_symbols(const std::array<TokenId, 256>& byte_ids) {
  return std::make_unique<ByteSymbols>(byte_ids);
}

std::unique_ptr<BpeSymbols> make_character_symbols(CharacterSymbolOptions options) {
  return std::make_unique<CharacterSymbols>(std::move(options));
}

}  // namespace tandem::data
