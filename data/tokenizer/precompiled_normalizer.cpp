// SentencePiece's compiled table of replacements: a double-array trie (Darts) of the texts to
// replace, whose values are places in a block of NUL-terminated replacements.
#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <cstring>
#include <optional>

#include "data/tokenizer/normalizer.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

class DoubleArray {
 public:
  explicit DoubleArray(std::string_view bytes) : units_(bytes.size() / sizeof(std::uint32_t)) {
    std::memcpy(units_.data(), bytes.data(), units_.size() * sizeof(std::uint32_t));
  }

  // The value of the shortest key that `text` starts with.
  std::optional<std::uint32_t> find_prefix(std::string_view text) const {
    std::size_t node = offset(unit(0));
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte == 0) return std::nullopt;
      node ^= byte;
      const std::uint32_t found = unit(node);
      if ((found & 0x800000FFu) != byte) return std::nullopt;
      node ^= offset(found);
      if (found >> 8 & 1) return unit(node) & 0x7FFFFFFFu;
    }
    return std::nullopt;
  }

 private:
  // 0, which no byte leads to, outside of a damaged array.
  std::uint32_t unit(std::size_t node) const { return node < units_.size() ? units_[node] : 0; }
  static std::size_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

  std::vector<std::uint32_t> units_;
};

class PrecompiledNormalizer : public Normalizer {
 public:
  PrecompiledNormalizer(std::string_view trie, std::string replacements)
      : trie_(trie), replacements_(std::move(replacements)) {}

  // A short grapheme is looked up whole, then everything character by character: the order of
  // Hugging Face.
  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<icu::BreakIterator> graphemes(
        icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    UText* view =
        utext_openUTF8(nullptr, text.data(), static_cast<std::int64_t>(text.size()), &status);
    if (U_SUCCESS(status)) graphemes->setText(view, status);
    TANDEM_CHECK(U_SUCCESS(status), "ICU: {}", u_errorName(status));
    std::size_t begin = 0;
    for (std::int32_t end = graphemes->next(); end != icu::BreakIterator::DONE;
         end = graphemes->next()) {
      append(std::string_view(text).substr(begin, static_cast<std::size_t>(end) - begin), out);
      begin = static_cast<std::size_t>(end);
    }
    utext_close(view);
    text = std::move(out);
  }

 private:
  static constexpr std::size_t kShortGrapheme = 5;  // bytes

  void append(std::string_view grapheme, std::string& out) const {
    if (grapheme.size() <= kShortGrapheme)
      if (const auto whole = find(grapheme)) {
        out += *whole;
        return;
      }
    for (std::size_t at = 0; at < grapheme.size();) {
      const std::string_view character = grapheme.substr(at, decode_utf8(grapheme, at).length);
      out += find(character).value_or(character);
      at += character.size();
    }
  }

  std::optional<std::string_view> find(std::string_view text) const {
    const auto place = trie_.find_prefix(text);
    if (!place || *place >= replacements_.size()) return std::nullopt;
    return std::string_view(replacements_.c_str() + *place);
  }

  DoubleArray trie_;
  std::string replacements_;
};

std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFF);
  }
  return bytes;
}

}  // namespace

NormalizerPtr make_precompiled(std::string_view charsmap_base64) {
  const auto bytes = decode_base64(charsmap_base64);
  std::uint32_t trie_size = 0;
  if (!bytes || bytes->size() < sizeof trie_size) return nullptr;
  std::memcpy(&trie_size, bytes->data(), sizeof trie_size);
  if (trie_size % sizeof(std::uint32_t) != 0 || trie_size > bytes->size() - sizeof trie_size)
    return nullptr;
  std::string replacements = bytes->substr(sizeof trie_size + trie_size);
  if (find_invalid_utf8(replacements) != std::string_view::npos) return nullptr;
  return std::make_unique<PrecompiledNormalizer>(
      std::string_view(*bytes).substr(sizeof trie_size, trie_size), std::move(replacements));
}

}  // namespace tandem::data
