#include <nlohmann/json.hpp>

#include "data/tokenizer/base64.h"
#include "data/tokenizer/hf_readers.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

NormalizerPtr read_bert(const JsonObject& part) {
  BertNormalizerOptions options;
  options.clean_text = part.boolean("clean_text", true);
  options.handle_chinese_chars = part.boolean("handle_chinese_chars", true);
  options.lowercase = part.boolean("lowercase", true);
  options.strip_accents = part.boolean("strip_accents", options.lowercase);
  return make_bert_normalizer(options);
}

NormalizerPtr read_precompiled(const JsonObject& part) {
  auto normalizer = make_precompiled(part.string("precompiled_charsmap"));
  if (!normalizer) part.fail_key("precompiled_charsmap", "is damaged");
  return normalizer;
}

NormalizerPtr read_part(const JsonObject& part, const std::string& type) {
  if (type == "BertNormalizer") return read_bert(part);
  if (type == "Lowercase") return make_lowercase();
  if (type == "NFC") return make_unicode_form(UnicodeForm::kNfc);
  if (type == "NFD") return make_unicode_form(UnicodeForm::kNfd);
  if (type == "NFKC") return make_unicode_form(UnicodeForm::kNfkc);
  if (type == "NFKD") return make_unicode_form(UnicodeForm::kNfkd);
  if (type == "Nmt") return make_nmt();
  if (type == "Precompiled") return read_precompiled(part);
  if (type == "StripAccents") return make_strip_accents();
  if (type == "Strip")
    return make_strip(part.boolean("strip_left", true), part.boolean("strip_right", true));
  if (type == "Prepend") return make_prepend(part.string("prepend"));
  if (type == "Replace") return make_replace(read_pattern(part), part.string("content"));
  refuse_type(
      part, type,
      "BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, "
      "Sequence, Strip, StripAccents");
}

// What SentencePiece itself does, beside the parts of the Sequence that come closest to it. The
// table of replacements is that of its Precompiled.
NormalizerPtr read_sentencepiece(const JsonObject& sequence) {
  const JsonObject part = sequence.object("sentencepiece");
  SentencePieceNormalizerOptions options;
  for_each_part(sequence, "normalizers", [&](const JsonObject& other, const std::string& type) {
    if (type != "Precompiled") return;
    const auto bytes = decode_base64(other.string("precompiled_charsmap"));
    const auto charsmap = bytes ? Charsmap::parse(*bytes) : std::nullopt;
    if (!charsmap) other.fail_key("precompiled_charsmap", "is damaged");
    options.charsmap = *charsmap;
  });
  options.add_dummy_prefix = part.boolean("add_dummy_prefix", true);
  options.remove_extra_whitespaces = part.boolean("remove_extra_whitespaces", true);
  options.escape_whitespaces = part.boolean("escape_whitespaces", true);
  options.treat_whitespace_as_suffix = part.boolean("treat_whitespace_as_suffix", false);
  if (part.has("user_defined_symbols"))
    for (const auto& symbol : part.array("user_defined_symbols")) {
      if (!symbol.is_string()) part.fail_key("user_defined_symbols", "is not a list of strings");
      options.user_defined_symbols.push_back(symbol.get<std::string>());
    }
  return make_sentencepiece_normalizer(std::move(options));
}

}  // namespace

NormalizerPtr read_normalizer(const JsonObject& root) {
  if (!root.has("normalizer")) return nullptr;
  if (root.object("normalizer").has("sentencepiece"))
    return read_sentencepiece(root.object("normalizer"));
  std::vector<NormalizerPtr> list;
  for_each_part(root.object("normalizer"), "normalizers",
                [&](const JsonObject& part, const std::string& type) {
                  list.push_back(read_part(part, type));
                });
  if (list.empty()) return nullptr;
  if (list.size() == 1) return std::move(list.front());
  return make_normalizer_sequence(std::move(list));
}

}  // namespace tandem::data
