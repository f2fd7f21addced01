// Changes a text before it is cut into pieces: Unicode forms, case, accents, replacements. Unicode
// forms and case are ICU's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/charsmap.h"
#include "data/tokenizer/finder.h"

namespace tandem::data {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `text` is valid UTF-8 and stays so.
  virtual void apply(std::string& text) const = 0;
};

using NormalizerPtr = std::unique_ptr<Normalizer>;

struct BertNormalizerOptions {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
};

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

NormalizerPtr make_bert_normalizer(const BertNormalizerOptions& options);
NormalizerPtr make_lowercase();
NormalizerPtr make_unicode_form(UnicodeForm form);
// Removes combining marks, without decomposing first.
NormalizerPtr make_strip_accents();
// Removes white space at the ends.
NormalizerPtr make_strip(bool left, bool right);
// Before a text that is not empty.
NormalizerPtr make_prepend(std::string prefix);
NormalizerPtr make_replace(std::unique_ptr<Finder> finder, std::string content);
// SentencePiece's nmt rules for controls and white space.
NormalizerPtr make_nmt();
// SentencePiece's precompiled_charsmap. nullptr when it is damaged.
NormalizerPtr make_precompiled(std::string_view charsmap_base64);

// All that SentencePiece does to a text (sentencepiece_normalizer.cpp).
struct SentencePieceNormalizerOptions {
  Charsmap charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;                      // a space becomes U+2581
  bool treat_whitespace_as_suffix = false;             // the dummy goes behind the text
  std::vector<std::string> user_defined_symbols = {};  // are left as they are
};
NormalizerPtr make_sentencepiece_normalizer(SentencePieceNormalizerOptions options);
NormalizerPtr make_normalizer_sequence(std::vector<NormalizerPtr> parts);

}  // namespace tandem::data
