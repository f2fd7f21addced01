#include "data/tokenizer/pre_tokenizer.h"

#include "data/tokenizer/unicode_class.h"
#include "data/utf8.h"

namespace tandem::data {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // End of the piece that starts at `at`.
  std::size_t piece_end(std::size_t at) const {
    const char first = text_[at];
    if (first == '\'') {
      if (const std::size_t length = contraction(at)) return at + length;
    }
    if (first == ' ' && at + 1 < text_.size()) {
      const Char second = read(at + 1);
      if (second.kind != CharClass::kSpace) return run_end(at + 1 + second.length, second.kind);
    }
    const Char c = read(at);
    if (c.kind != CharClass::kSpace) return run_end(at + c.length, c.kind);
    return spaces_end(at + c.length, at);
  }

 private:
  struct Char {
    CharClass kind;
    std::uint32_t length;
  };

  Char read(std::size_t at) const {
    const auto byte = static_cast<unsigned char>(text_[at]);
    if (byte < 0x80) return {classes_.ascii(byte), 1};
    const CodePoint c = decode_utf8(text_, at);
    return {classes_[c.value], c.length};
  }

  // Length of 's 't 'm 'd 're 've 'll at `at`, or 0.
  std::size_t contraction(std::size_t at) const {
    if (at + 1 >= text_.size()) return 0;
    const char a = text_[at + 1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (at + 2 >= text_.size()) return 0;
    const char b = text_[at + 2];
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
  }

  std::size_t run_end(std::size_t at, CharClass kind) const {
    while (at < text_.size()) {
      const Char c = read(at);
      if (c.kind != kind) break;
      at += c.length;
    }
    return at;
  }

  // White space before other text leaves its last character to the piece that follows; a single one
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

  std::string_view text_;
  const UnicodeClasses& classes_ = UnicodeClasses::instance();
};

class Gpt2PreTokenizer : public PreTokenizer {
 public:
  std::size_t split(std::string_view text, std::size_t begin,
                    std::vector<std::size_t>& ends) const override {
    const Scanner scanner(text);
    std::size_t at = begin;
    for (std::size_t pieces = 0; pieces < kPieces && at < text.size(); ++pieces) {
      at = scanner.piece_end(at);
      ends.push_back(at);
    }
    return at;
  }
};

class WholePreTokenizer : public PreTokenizer {
 public:
  std::size_t split(std::string_view text, std::size_t begin,
                    std::vector<std::size_t>& ends) const override {
    if (begin < text.size()) ends.push_back(text.size());
    return text.size();
  }
};

}  // namespace

std::unique_ptr<PreTokenizer> make_gpt2_pre_tokenizer() {
  return std::make_unique<Gpt2PreTokenizer>();
}

std::unique_ptr<PreTokenizer> make_whole_pre_tokenizer() {
  return std::make_unique<WholePreTokenizer>();
}

}  // namespace tandem::data
