// Reads a text by the classes of its characters; what the hand-written pre-tokenizers share.
#pragma once

#include <string_view>

#include "data/tokenizer/unicode_class.h"
#include "data/utf8.h"

namespace tandem::data {

class CharacterRuns {
 public:
  struct Char {
    CharClass kind;
    std::uint32_t length;
  };

  explicit CharacterRuns(std::string_view text) : text_(text) {}

  std::size_t size() const { return text_.size(); }
  char byte(std::size_t at) const { return text_[at]; }
  bool is_newline(std::size_t at) const { return text_[at] == '\n' || text_[at] == '\r'; }

  Char read(std::size_t at) const {
    const auto byte = static_cast<unsigned char>(text_[at]);
    if (byte < 0x80) return {classes_.ascii(byte), 1};
    const CodePoint c = decode_utf8(text_, at);
    return {classes_[c.value], c.length};
  }

  // End of the characters of one class from `at` on.
  std::size_t run_end(std::size_t at, CharClass kind) const {
    while (at < text_.size()) {
      const Char c = read(at);
      if (c.kind != kind) break;
      at += c.length;
    }
    return at;
  }

  // \s+(?!\S)|\s+ for the white space that starts at `begin`, whose first character ends at `at`:
  // white space before other text leaves its last character to the piece that follows; a single one
  // stands alone.
  std::size_t spaces_end(std::size_t at, std::size_t begin) const {
    std::size_t last = begin;
    while (at < text_.size()) {
      const Char c = read(at);
      if (c.kind != CharClass::kSpace) return last == begin ? at : last;
      last = at;
      at += c.length;
    }
    return at;
  }

 private:
  std::string_view text_;
  const UnicodeClasses& classes_ = UnicodeClasses::instance();
};

}  // namespace tandem::data
