#include "data/tokenizer/hf_tokenizer.h"

#include <fmt/format.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "data/tokenizer/hf_readers.h"
#include "runtime/base/error.h"

namespace tandem::data {

using nlohmann::json;

void for_each_part(const JsonObject& part, std::string_view list_key,
                   const std::function<void(const JsonObject&, const std::string& type)>& visit) {
  const std::string type = part.string("type");
  if (type != "Sequence") return visit(part, type);
  const json& list = part.array(list_key);
  for (std::size_t i = 0; i < list.size(); ++i)
    for_each_part(part.element(list[i], list_key, i), list_key, visit);
}

void refuse_type(const JsonObject& part, const std::string& type, std::string_view supported) {
  part.fail(fmt::format("of type '{}' is not supported (supported: {})", type, supported));
}

std::unique_ptr<Finder> read_pattern(const JsonObject& part) {
  const JsonObject pattern = part.object("pattern");
  if (pattern.has("String")) {
    const std::string literal = pattern.string("String");
    if (literal.empty()) pattern.fail_key("String", "is empty");
    return find_literal(literal);
  }
  const std::string regex = pattern.string("Regex");
  try {
    return find_regex(regex);
  } catch (const runtime::Error& error) {
    pattern.fail_key("Regex", error.what());
  }
}

namespace {

AddedToken read_added_token(const JsonObject& entry, const Normalizer* normalizer) {
  AddedToken token{.content = entry.string("content"),
                   .sought = {},
                   .id = entry.token_id("id"),
                   .lstrip = entry.boolean("lstrip", false),
                   .rstrip = entry.boolean("rstrip", false),
                   .single_word = entry.boolean("single_word", false),
                   .normalized = entry.boolean("normalized", true),
                   .special = entry.boolean("special", false)};
  if (token.content.empty()) entry.fail_key("content", "is empty");
  if (entry.boolean("found_by_model", false)) return token;
  token.sought = token.content;
  if (token.normalized && normalizer != nullptr) normalizer->apply(token.sought);
  return token;
}

void read_added_tokens(const JsonObject& root, TokenizerParts& parts) {
  if (!root.has("added_tokens")) return;
  const json& list = root.array("added_tokens");
  std::vector<AddedToken> tokens;
  for (std::size_t i = 0; i < list.size(); ++i) {
    tokens.push_back(
        read_added_token(root.element(list[i], "added_tokens", i), parts.normalizer.get()));
    parts.vocabulary.set(tokens.back().content, tokens.back().id);
  }
  parts.added = AddedTokens(std::move(tokens));
}

// What a template puts before and after sequence A.
void read_template(const JsonObject& processor, std::vector<TokenId>& prefix,
                   std::vector<TokenId>& suffix) {
  const json& single = processor.array("single");
  bool after_text = false;
  for (std::size_t i = 0; i < single.size(); ++i) {
    const JsonObject piece = processor.element(single[i], "single", i);
    if (piece.has("Sequence")) {
      if (after_text) piece.fail("is a second text, which is not supported");
      after_text = true;
      continue;
    }
    const std::string name = piece.object("SpecialToken").string("id");
    const JsonObject token = processor.object("special_tokens").object(name);
    for (const json& id : token.array("ids"))
      (after_text ? suffix : prefix).push_back(token.to_id(id, "ids"));
  }
  if (!after_text) processor.fail_key("single", "leaves the text out, which is not supported");
}

// The id of `key`: ["[SEP]", 102].
TokenId read_token_pair(const JsonObject& processor, std::string_view key) {
  const json& pair = processor.array(key);
  if (pair.size() != 2) processor.fail_key(key, "is not a token and its id");
  return processor.to_id(pair[1], key);
}

void read_post_processor(const JsonObject& root, TokenizerParts& parts) {
  if (!root.has("post_processor")) return;
  for_each_part(root.object("post_processor"), "processors",
                [&](const JsonObject& part, const std::string& type) {
                  std::vector<TokenId> prefix, suffix;
                  if (type == "TemplateProcessing") {
                    read_template(part, prefix, suffix);
                  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
                    prefix = {read_token_pair(part, "cls")};
                    suffix = {read_token_pair(part, "sep")};
                  } else if (type != "ByteLevel") {  // which only moves offsets
                    refuse_type(part, type,
                                "BertProcessing, ByteLevel, RobertaProcessing, Sequence, "
                                "TemplateProcessing");
                  }
                  // A later one goes around an earlier one.
                  parts.prefix.insert(parts.prefix.begin(), prefix.begin(), prefix.end());
                  parts.suffix.insert(parts.suffix.end(), suffix.begin(), suffix.end());
                });
}

void mark_special(TokenizerParts& parts) {
  parts.special.resize(parts.vocabulary.size());
  for (const AddedToken& token : parts.added.tokens()) parts.special[token.id] = token.special;
}

// A role is a string or an object with "content" (an AddedToken written out).
TokenId read_role(const json& document, std::string_view role, const Vocabulary& vocabulary) {
  const auto entry = document.find(role);
  if (entry == document.end()) return kNoToken;
  const json& content =
      entry->is_object() && entry->contains("content") ? (*entry)["content"] : *entry;
  if (!content.is_string()) return kNoToken;
  return vocabulary.find(content.get<std::string>()).value_or(kNoToken);
}

void read_roles(TokenizerParts& parts, std::string_view origin) {
  // The later document counts: special_tokens_map.json is the older of the two formats.
  for (const std::string* text :
       {&parts.files.special_tokens_map_json, &parts.files.tokenizer_config_json}) {
    if (text->empty()) continue;
    const json document = parse_json(*text, fmt::format("{} (its companion files)", origin));
    const auto set = [&](TokenId& id, std::string_view role) {
      if (const TokenId found = read_role(document, role, parts.vocabulary); found != kNoToken)
        id = found;
    };
    set(parts.special_ids.bos, "bos_token");
    set(parts.special_ids.eos, "eos_token");
    set(parts.special_ids.pad, "pad_token");
    set(parts.special_ids.unk, "unk_token");
  }
}

}  // namespace

std::unique_ptr<TokenizerParts> parse_hf_tokenizer(TokenizerFiles files, std::string_view origin) {
  auto parts = std::make_unique<TokenizerParts>();
  const json document = parse_json(files.tokenizer_json, origin);
  const JsonObject root(document, origin, "");
  parts->files = std::move(files);
  parts->normalizer = read_normalizer(root);
  const bool byte_level = read_pre_tokenizer(root, *parts);
  read_model(root, origin, byte_level, *parts);
  read_added_tokens(root, *parts);
  read_post_processor(root, *parts);
  read_decoder(root, *parts);
  mark_special(*parts);
  read_roles(*parts, origin);
  return parts;
}

}  // namespace tandem::data
