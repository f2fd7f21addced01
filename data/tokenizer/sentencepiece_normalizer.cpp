// What SentencePiece does to a text before its model sees it (Kudo and Richardson, "SentencePiece",
// 2018): replacements by the longest rule, single spaces, none at the ends, a dummy before the
// text, U+2581 for a space. The rules see the whole text, so that none of Hugging Face's parts in a
// row is quite the same.
#include <utility>

#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/token_trie.h"
#include "data/utf8.h"

namespace tandem::data {
namespace {

constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";

TokenTrie trie_of(const std::vector<std::string>& symbols) {
  std::vector<std::pair<std::string, TokenId>> tokens;
  for (const std::string& symbol : symbols)
    tokens.emplace_back(symbol, static_cast<TokenId>(tokens.size()));
  return TokenTrie(std::move(tokens));
}

class SentencePieceNormalizer : public Normalizer {
 public:
  explicit SentencePieceNormalizer(SentencePieceNormalizerOptions options)
      : options_(std::move(options)),
        space_(options_.escape_whitespaces ? kEscapedSpace : " "),
        symbols_(trie_of(options_.user_defined_symbols)) {}

  void apply(std::string& text) const override {
    std::string out;
    std::string_view rest = text;
    if (options_.remove_extra_whitespaces) skip_spaces(rest);
    if (!rest.empty()) {
      out.reserve(rest.size() * 2);
      if (options_.add_dummy_prefix && !options_.treat_whitespace_as_suffix) out += space_;
      append_replaced(rest, out);
      if (options_.remove_extra_whitespaces)
        while (out.ends_with(space_)) out.resize(out.size() - space_.size());
      if (options_.add_dummy_prefix && options_.treat_whitespace_as_suffix) out += space_;
    }
    text = std::move(out);
  }

 private:
  struct Replaced {
    std::string_view text;
    std::size_t length;  // of what it stands for
  };

  // Of the start of `rest`.
  Replaced replace(std::string_view rest) const {
    if (const auto symbol = symbols_.longest_prefix(rest); symbol.length > 0)
      return {rest.substr(0, symbol.length), symbol.length};
    if (const auto rule = options_.charsmap.find_longest(rest); rule.length > 0)
      return {rule.replacement, rule.length};
    const std::size_t length = decode_utf8(rest, 0).length;
    return {rest.substr(0, length), length};
  }

  void skip_spaces(std::string_view& rest) const {
    while (!rest.empty()) {
      const Replaced next = replace(rest);
      if (next.text != " ") return;
      rest.remove_prefix(next.length);
    }
  }

  void append_replaced(std::string_view rest, std::string& out) const {
    bool after_space = options_.remove_extra_whitespaces;
    while (!rest.empty()) {
      Replaced next = replace(rest);
      rest.remove_prefix(next.length);
      while (after_space && next.text.starts_with(' ')) next.text.remove_prefix(1);
      if (next.text.empty()) continue;
      for (const char c : next.text) {
        if (c == ' ')
          out += space_;
        else
          out += c;
      }
      after_space = options_.remove_extra_whitespaces && next.text.ends_with(' ');
    }
  }

  SentencePieceNormalizerOptions options_;
  std::string_view space_;
  TokenTrie symbols_;
};

}  // namespace

NormalizerPtr make_sentencepiece_normalizer(SentencePieceNormalizerOptions options) {
  return std::make_unique<SentencePieceNormalizer>(std::move(options));
}

}  // namespace tandem::data
