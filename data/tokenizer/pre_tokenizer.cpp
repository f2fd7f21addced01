#include "data/tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "data/tokenizer/character_runs.h"

namespace tandem::data {
namespace {

class Gpt2Scanner {
 public:
  explicit Gpt2Scanner(std::string_view text) : runs_(text) {}

  // End of the piece that starts at `at`.
  std::size_t piece_end(std::size_t at) const {
    const char first = runs_.byte(at);
    if (first == '\'') {
      if (const std::size_t length = contraction(at)) return at + length;
    }
    if (first == ' ' && at + 1 < runs_.size()) {
      const auto second = runs_.read(at + 1);
      if (second.kind != CharClass::kSpace)
        return runs_.run_end(at + 1 + second.length, second.kind);
    }
    const auto c = runs_.read(at);
    if (c.kind != CharClass::kSpace) return runs_.run_end(at + c.length, c.kind);
    return runs_.spaces_end(at + c.length, at);
  }

 private:
  // Length of 's 't 'm 'd 're 've 'll at `at`, or 0.
  std::size_t contraction(std::size_t at) const {
    if (at + 1 >= runs_.size()) return 0;
    const char a = runs_.byte(at + 1);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (at + 2 >= runs_.size()) return 0;
    const char b = runs_.byte(at + 2);
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
  }

  CharacterRuns runs_;
};

class NewlineScanner {
 public:
  NewlineScanner(std::string_view text, int max_digits) : runs_(text), max_digits_(max_digits) {}

  // End of the piece that starts at `at`.
  std::size_t piece_end(std::size_t at) const {
    if (runs_.byte(at) == '\'') {
      if (const std::size_t length = contraction(at)) return at + length;
    }
    const auto c = runs_.read(at);
    const std::size_t next = at + c.length;
    if (c.kind == CharClass::kLetter) return runs_.run_end(next, CharClass::kLetter);
    if (c.kind == CharClass::kNumber) return digits_end(next);
    if (next < runs_.size() && !runs_.is_newline(at)) {
      const auto second = runs_.read(next);
      if (second.kind == CharClass::kLetter)
        return runs_.run_end(next + second.length, CharClass::kLetter);
      if (runs_.byte(at) == ' ' && second.kind == CharClass::kOther)
        return newlines_end(runs_.run_end(next + second.length, CharClass::kOther));
    }
    if (c.kind == CharClass::kOther) return newlines_end(runs_.run_end(next, CharClass::kOther));
    return white_space_end(at, next);
  }

 private:
  // Length of 's 't 'm 'd 're 've 'll at `at` in either case, or 0.
  std::size_t contraction(std::size_t at) const {
    if (at + 1 >= runs_.size()) return 0;
    const char a = lower(at + 1);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (at + 2 >= runs_.size()) return 0;
    const char b = lower(at + 2);
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l')) return 3;
    // U+017F, the long s, is an s in other case.
    return runs_.byte(at + 1) == '\xC5' && runs_.byte(at + 2) == '\xBF' ? 3 : 0;
  }
  char lower(std::size_t at) const {
    const char c = runs_.byte(at);
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }

  std::size_t digits_end(std::size_t at) const {
    for (int digits = 1; digits < max_digits_ && at < runs_.size(); ++digits) {
      const auto c = runs_.read(at);
      if (c.kind != CharClass::kNumber) break;
      at += c.length;
    }
    return at;
  }

  std::size_t newlines_end(std::size_t at) const {
    while (at < runs_.size() && runs_.is_newline(at)) ++at;
    return at;
  }

  // \s*[\r\n]+|\s+(?!\S)|\s+: up to the last line end of the white space, if it has one.
  std::size_t white_space_end(std::size_t at, std::size_t next) const {
    std::size_t end = runs_.run_end(next, CharClass::kSpace);
    while (end > at && !runs_.is_newline(end - 1)) --end;
    return end > at ? end : runs_.spaces_end(next, at);
  }

  CharacterRuns runs_;
  int max_digits_;
};

// Appends the ends of at most `pieces` pieces from `at` on.
template <typename Scanner>
std::size_t scan(const Scanner& scanner, std::size_t size, std::size_t at, std::size_t pieces,
                 std::vector<std::size_t>& ends) {
  for (; pieces > 0 && at < size; --pieces) {
    at = scanner.piece_end(at);
    ends.push_back(at);
  }
  return at;
}

class Gpt2PreTokenizer : public PreTokenizer {
 public:
  std::size_t split(std::string_view text, std::size_t begin,
                    std::vector<std::size_t>& ends) const override {
    return scan(Gpt2Scanner(text), text.size(), begin, kPieces, ends);
  }
};

class NewlinePreTokenizer : public PreTokenizer {
 public:
  explicit NewlinePreTokenizer(int max_digits) : max_digits_(max_digits) {}

  std::size_t split(std::string_view text, std::size_t begin,
                    std::vector<std::size_t>& ends) const override {
    return scan(NewlineScanner(text, max_digits_), text.size(), begin, kPieces, ends);
  }

 private:
  int max_digits_;
};

class WholePreTokenizer : public PreTokenizer {
 public:
  std::size_t split(std::string_view text, std::size_t begin,
                    std::vector<std::size_t>& ends) const override {
    if (begin < text.size()) ends.push_back(text.size());
    return text.size();
  }
};

constexpr std::string_view kBeforeDigits =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
constexpr std::string_view kAfterDigits = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

std::unique_ptr<PreTokenizer> make_gpt2_pre_tokenizer() {
  return std::make_unique<Gpt2PreTokenizer>();
}

std::unique_ptr<PreTokenizer> make_whole_pre_tokenizer() {
  return std::make_unique<WholePreTokenizer>();
}

std::unique_ptr<PreTokenizer> make_known_pre_tokenizer(std::string_view pattern) {
  if (pattern == kGpt2Pattern) return make_gpt2_pre_tokenizer();
  if (!pattern.starts_with(kBeforeDigits) || !pattern.ends_with(kAfterDigits)) return nullptr;
  const std::string_view digits = pattern.substr(
      kBeforeDigits.size(), pattern.size() - kBeforeDigits.size() - kAfterDigits.size());
  if (digits == R"(\p{N})") return std::make_unique<NewlinePreTokenizer>(1);
  if (digits == R"(\p{N}{1,3})") return std::make_unique<NewlinePreTokenizer>(3);
  return nullptr;
}

}  // namespace tandem::data
