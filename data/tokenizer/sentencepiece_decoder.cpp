// From SentencePiece's pieces back to text, as its own decoder does it.
#include <algorithm>
#include <utility>

#include "data/tokenizer/decoder.h"
#include "data/utf8.h"

namespace tandem::data {
namespace {

constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Every byte that is not part of a character becomes one U+FFFD.
void append_characters(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    const std::size_t valid = std::min(find_invalid_utf8(bytes), bytes.size());
    out += bytes.substr(0, valid);
    bytes.remove_prefix(valid);
    if (bytes.empty()) return;
    out += kReplacement;
    bytes.remove_prefix(1);
  }
}

class SentencePieces : public DecoderStep {
 public:
  explicit SentencePieces(SentencePieceDecoderOptions options) : options_(std::move(options)) {}

  // memory.tokens is 0 as long as there is no text yet.
  void push(std::string token, Memory& memory, std::vector<std::string>& out) const override {
    if (const auto byte = byte_of_token(token)) {
      memory.held += *byte;
      return;
    }
    finish(memory, out);
    std::string text = token == options_.unknown ? options_.unknown_surface
                                                 : with_spaces(std::move(token), memory);
    if (!text.empty()) memory.tokens = 1;
    out.push_back(std::move(text));
  }

  void finish(Memory& memory, std::vector<std::string>& out) const override {
    if (memory.held.empty()) return;
    append_characters(std::exchange(memory.held, {}), out.emplace_back());
    memory.tokens = 1;
  }

 private:
  std::string with_spaces(std::string token, Memory& memory) const {
    if (memory.tokens == 0 && options_.strip_first && token.starts_with(kEscapedSpace)) {
      token.erase(0, kEscapedSpace.size());
      if (!options_.strip_all) memory.tokens = 1;
    }
    std::string text;
    for (std::size_t at = 0; at < token.size();) {
      const std::size_t space = std::min(token.find(kEscapedSpace, at), token.size());
      text.append(token, at, space - at);
      if (space < token.size()) text += ' ';
      at = space + kEscapedSpace.size();
    }
    return text;
  }

  SentencePieceDecoderOptions options_;
};

}  // namespace

DecoderStepPtr decode_sentencepiece(SentencePieceDecoderOptions options) {
  return std::make_unique<SentencePieces>(std::move(options));
}

}  // namespace tandem::data
