#include "data/tokenizer/finder.h"

#include "data/utf8.h"

namespace tandem::data {
namespace {

class LiteralFinder : public Finder {
 public:
  explicit LiteralFinder(std::string literal) : literal_(std::move(literal)) {}

  void find(std::string_view text, std::vector<Span>& matches) const override {
    for (std::size_t at = 0; (at = text.find(literal_, at)) != std::string_view::npos;) {
      matches.push_back({at, at + literal_.size()});
      at += literal_.size();
    }
  }

 private:
  std::string literal_;
};

class CharacterFinder : public Finder {
 public:
  explicit CharacterFinder(const CharSet& set) : set_(set) {}

  void find(std::string_view text, std::vector<Span>& matches) const override {
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = decode_utf8(text, at);
      if (set_.contains(c.value)) matches.push_back({at, at + c.length});
      at += c.length;
    }
  }

 private:
  const CharSet& set_;
};

class WordFinder : public Finder {
 public:
  void find(std::string_view text, std::vector<Span>& matches) const override {
    Kind previous = Kind::kSpace;
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = decode_utf8(text, at);
      const Kind kind = kind_of(c.value);
      if (kind != Kind::kSpace) {
        if (kind != previous) matches.push_back({at, at});
        matches.back().end = at + c.length;
      }
      previous = kind;
      at += c.length;
    }
  }

 private:
  enum class Kind { kSpace, kWord, kOther };

  Kind kind_of(char32_t c) const {
    if (word_.contains(c)) return Kind::kWord;
    return space_.contains(c) ? Kind::kSpace : Kind::kOther;
  }

  const CharSet& word_ = CharSet::word();
  const CharSet& space_ = CharSet::white_space();
};

}  // namespace

std::unique_ptr<Finder> find_literal(std::string literal) {
  return std::make_unique<LiteralFinder>(std::move(literal));
}

std::unique_ptr<Finder> find_characters(const CharSet& set) {
  return std::make_unique<CharacterFinder>(set);
}

std::unique_ptr<Finder> find_words() {
  return std::make_unique<WordFinder>();
}

std::string replace_matches(const Finder& finder, std::string_view text, std::string_view content) {
  std::vector<Span> matches;
  finder.find(text, matches);
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;
  for (const Span& match : matches) {
    out.append(text.substr(done, match.begin - done)).append(content);
    done = match.end;
  }
  return out.append(text.substr(done));
}

}  // namespace tandem::data
