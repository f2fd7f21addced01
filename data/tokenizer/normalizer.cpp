#include "data/tokenizer/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>

#include <algorithm>

#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Rebuilds `text` from what `map(character, out)` appends for each of its characters.
template <typename Map>
void map_characters(std::string& text, Map&& map) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    map(c.value, out);
    at += c.length;
  }
  text = std::move(out);
}

void remove_characters(std::string& text, const CharSet& set) {
  map_characters(text, [&](char32_t c, std::string& out) {
    if (!set.contains(c)) append_utf8(c, out);
  });
}

// Character by character, as Rust's char::to_lowercase: U+0130 is the only one that becomes two.
void lowercase(std::string& text) {
  map_characters(text, [](char32_t c, std::string& out) {
    if (c < 0x80) {
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    } else if (c == 0x130) {
      out += "i\xCC\x87";
    } else {
      append_utf8(static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))), out);
    }
  });
}

const icu::Normalizer2& normalizer_of(UnicodeForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found = nullptr;
  switch (form) {
    case UnicodeForm::kNfc:
      found = icu::Normalizer2::getNFCInstance(status);
      break;
    case UnicodeForm::kNfd:
      found = icu::Normalizer2::getNFDInstance(status);
      break;
    case UnicodeForm::kNfkc:
      found = icu::Normalizer2::getNFKCInstance(status);
      break;
    case UnicodeForm::kNfkd:
      found = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  if (U_FAILURE(status))
    runtime::throw_environment_error(
        "ICU has no data for Unicode normalization ({}); install libicu with its data",
        u_errorName(status));
  return *found;
}

class UnicodeFormNormalizer : public Normalizer {
 public:
  explicit UnicodeFormNormalizer(UnicodeForm form) : normalizer_(normalizer_of(form)) {}

  void apply(std::string& text) const override {
    if (is_ascii(text)) return;
    std::string out;
    icu::StringByteSink<std::string> sink(&out);
    UErrorCode status = U_ZERO_ERROR;
    normalizer_.normalizeUTF8(0,
                              icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())),
                              sink, nullptr, status);
    TANDEM_CHECK(U_SUCCESS(status), "ICU: {}", u_errorName(status));
    text = std::move(out);
  }

 private:
  const icu::Normalizer2& normalizer_;
};

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options) : options_(options) {}

  void apply(std::string& text) const override {
    if (options_.clean_text) clean(text);
    if (options_.handle_chinese_chars) set_ideographs_apart(text);
    if (options_.strip_accents) {
      decompose_.apply(text);
      if (!is_ascii(text)) remove_characters(text, CharSet::nonspacing_marks());
    }
    if (options_.lowercase) lowercase(text);
  }

 private:
  static void clean(std::string& text) {
    const CharSet& control = CharSet::bert_control();
    const CharSet& space = CharSet::white_space();
    map_characters(text, [&](char32_t c, std::string& out) {
      if (control.contains(c)) return;
      append_utf8(space.contains(c) ? U' ' : c, out);
    });
  }

  static bool is_ideograph(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
  }

  static void set_ideographs_apart(std::string& text) {
    if (is_ascii(text)) return;
    map_characters(text, [](char32_t c, std::string& out) {
      const bool apart = is_ideograph(c);
      if (apart) out += ' ';
      append_utf8(c, out);
      if (apart) out += ' ';
    });
  }

  BertNormalizerOptions options_;
  UnicodeFormNormalizer decompose_{UnicodeForm::kNfd};
};

class Lowercase : public Normalizer {
 public:
  void apply(std::string& text) const override { lowercase(text); }
};

class StripAccents : public Normalizer {
 public:
  void apply(std::string& text) const override {
    remove_characters(text, CharSet::combining_marks());
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void apply(std::string& text) const override {
    std::size_t begin = text.size();
    std::size_t end = 0;
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = decode_utf8(text, at);
      if (!CharSet::white_space().contains(c.value)) {
        begin = std::min(begin, at);
        end = at + c.length;
      }
      at += c.length;
    }
    if (begin >= end) begin = end = 0;  // white space only: gone whichever end is stripped
    if (!left_ && end != 0) begin = 0;
    if (!right_ && end != 0) end = text.size();
    if (left_ || right_) text = text.substr(begin, end - begin);
  }

 private:
  bool left_;
  bool right_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}

  void apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(std::unique_ptr<Finder> finder, std::string content)
      : finder_(std::move(finder)), content_(std::move(content)) {}

  void apply(std::string& text) const override { text = replace_matches(*finder_, text, content_); }

 private:
  std::unique_ptr<Finder> finder_;
  std::string content_;
};

class Nmt : public Normalizer {
 public:
  void apply(std::string& text) const override {
    map_characters(text, [](char32_t c, std::string& out) {
      if (is_removed(c)) return;
      append_utf8(is_space(c) ? U' ' : c, out);
    });
  }

 private:
  static bool is_removed(char32_t c) {
    return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
           c == 0x8F || c == 0x9F;
  }
  static bool is_space(char32_t c) {
    return c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
  }
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<NormalizerPtr> parts) : parts_(std::move(parts)) {}

  void apply(std::string& text) const override {
    for (const NormalizerPtr& part : parts_) part->apply(text);
  }

 private:
  std::vector<NormalizerPtr> parts_;
};

}  // namespace

NormalizerPtr make_bert_normalizer(const BertNormalizerOptions& options) {
  return std::make_unique<BertNormalizer>(options);
}
NormalizerPtr make_lowercase() {
  return std::make_unique<Lowercase>();
}
NormalizerPtr make_unicode_form(UnicodeForm form) {
  return std::make_unique<UnicodeFormNormalizer>(form);
}
NormalizerPtr make_strip_accents() {
  return std::make_unique<StripAccents>();
}
NormalizerPtr make_strip(bool left, bool right) {
  return std::make_unique<Strip>(left, right);
}
NormalizerPtr make_prepend(std::string prefix) {
  return std::make_unique<Prepend>(std::move(prefix));
}
NormalizerPtr make_replace(std::unique_ptr<Finder> finder, std::string content) {
  return std::make_unique<Replace>(std::move(finder), std::move(content));
}
NormalizerPtr make_nmt() {
  return std::make_unique<Nmt>();
}
NormalizerPtr make_normalizer_sequence(std::vector<NormalizerPtr> parts) {
  return std::make_unique<Sequence>(std::move(parts));
}

}  // namespace tandem::data
