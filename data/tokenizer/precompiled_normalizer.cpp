// SentencePiece's compiled table of replacements as Hugging Face applies it.
#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <optional>
#include <utility>

#include "data/tokenizer/base64.h"
#include "data/tokenizer/charsmap.h"
#include "data/tokenizer/normalizer.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

class PrecompiledNormalizer : public Normalizer {
 public:
  explicit PrecompiledNormalizer(Charsmap charsmap) : charsmap_(std::move(charsmap)) {}

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
      if (const auto whole = charsmap_.find_shortest(grapheme)) {
        out += *whole;
        return;
      }
    for (std::size_t at = 0; at < grapheme.size();) {
      const std::string_view character = grapheme.substr(at, decode_utf8(grapheme, at).length);
      out += charsmap_.find_shortest(character).value_or(character);
      at += character.size();
    }
  }

  Charsmap charsmap_;
};

}  // namespace

NormalizerPtr make_precompiled(std::string_view charsmap_base64) {
  const auto bytes = decode_base64(charsmap_base64);
  auto charsmap = bytes ? Charsmap::parse(*bytes) : std::nullopt;
  if (!charsmap) return nullptr;
  return std::make_unique<PrecompiledNormalizer>(std::move(*charsmap));
}

}  // namespace tandem::data
