#include "data/tokenizer/hf_tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/tokenizer/bpe_model.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/json_object.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"

namespace tandem::data {

using nlohmann::json;
using runtime::throw_error;

namespace {

// A part may be a Sequence of parts of the same kind, under `list_key`.
void for_each_part(const JsonObject& part, std::string_view list_key,
                   const std::function<void(const JsonObject&, const std::string& type)>& visit) {
  const std::string type = part.string("type");
  if (type != "Sequence") return visit(part, type);
  const json& list = part.array(list_key);
  for (std::size_t i = 0; i < list.size(); ++i)
    for_each_part(part.element(list[i], list_key, i), list_key, visit);
}

void read_pre_tokenizer(const JsonObject& root, TokenizerParts& parts) {
  if (root.has("normalizer"))
    root.fail_key("normalizer", fmt::format("of type '{}' is not supported (supported: none)",
                                            root.object("normalizer").string("type")));
  for_each_part(
      root.object("pre_tokenizer"), "pretokenizers",
      [&](const JsonObject& part, const std::string& type) {
        if (type != "ByteLevel" || parts.pre_tokenizer)
          part.fail(fmt::format("of type '{}' is not supported (supported: one ByteLevel)", type));
        parts.add_prefix_space = part.boolean("add_prefix_space", true);
        parts.pre_tokenizer = part.boolean("use_regex", true) ? make_gpt2_pre_tokenizer()
                                                              : make_whole_pre_tokenizer();
      });
  for_each_part(
      root.object("decoder"), "decoders", [](const JsonObject& part, const std::string& type) {
        if (type != "ByteLevel")
          part.fail(fmt::format("of type '{}' is not supported (supported: ByteLevel)", type));
      });
}

void read_vocabulary(const JsonObject& model, Vocabulary& vocabulary) {
  const JsonObject vocab = model.object("vocab");
  for (const auto& [token, id] : vocab.value().items())
    vocabulary.set(token, vocab.to_id(id, token));
}

// "left right", or since tokenizers 0.20 ["left", "right"].
std::optional<std::pair<std::string, std::string>> split_merge(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  if (!merge.is_string()) return std::nullopt;
  const auto& text = merge.get_ref<const std::string&>();
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    return std::nullopt;
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

MergeTable read_merges(const JsonObject& model, const Vocabulary& vocabulary) {
  const json& list = model.array("merges");
  MergeTable table(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string key = fmt::format("merges[{}]", i);
    const auto pair = split_merge(list[i]);
    if (!pair) model.fail_key(key, "is not a pair of tokens");
    const auto left = vocabulary.find(pair->first);
    const auto right = vocabulary.find(pair->second);
    const auto merged = vocabulary.find(pair->first + pair->second);
    if (!left || !right || !merged)
      model.fail_key(key, fmt::format("needs '{}', '{}' and '{}{}' in the vocabulary", pair->first,
                                      pair->second, pair->first, pair->second));
    table.insert(*left, *right, {static_cast<std::uint32_t>(i), *merged});
  }
  return table;
}

void refuse_unsupported_bpe(const JsonObject& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (model.has(key) && !model.string(key).empty()) model.fail_key(key, "is not supported");
  if (model.boolean("byte_fallback", false)) model.fail_key("byte_fallback", "is not supported");
  if (model.has("dropout") && model.get("dropout") != 0.0)
    model.fail_key("dropout", "is not supported; set it to null");
}

std::array<TokenId, 256> read_byte_ids(const JsonObject& model, const Vocabulary& vocabulary,
                                       std::string_view origin) {
  std::optional<TokenId> unknown;
  if (model.has("unk_token")) unknown = vocabulary.find(model.string("unk_token"));
  std::array<TokenId, 256> ids;
  int missing = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = vocabulary.find(bytes_to_chars(std::string(1, static_cast<char>(byte))));
    missing += !id;
    ids[byte] = id ? *id : unknown.value_or(kNoToken);
  }
  if (missing > 0 && unknown && model.boolean("fuse_unk", false))
    model.fail_key("fuse_unk", "is not supported with a vocabulary that lacks bytes");
  if (missing > 0 && !unknown)
    runtime::log_warning(
        "{}: {} of 256 bytes have no token and no unk_token stands for them; they are left out "
        "of the text, as Hugging Face tokenizers does",
        origin, missing);
  return ids;
}

void read_model(const JsonObject& root, std::string_view origin, TokenizerParts& parts) {
  const JsonObject model = root.object("model");
  // Files written before tokenizers 0.9 have no type.
  if (model.has("type") && model.string("type") != "BPE")
    model.fail(fmt::format("of type '{}' is not supported (supported: BPE)", model.string("type")));
  refuse_unsupported_bpe(model);
  read_vocabulary(model, parts.vocabulary);
  BpeModel::Options options{.byte_ids = read_byte_ids(model, parts.vocabulary, origin),
                            .merges = read_merges(model, parts.vocabulary),
                            .find_whole = {}};
  if (model.boolean("ignore_merges", false))
    options.find_whole = [&vocabulary = parts.vocabulary](std::string_view piece) {
      return vocabulary.find(bytes_to_chars(piece));
    };
  parts.model = std::make_unique<BpeModel>(std::move(options));
}

AddedToken read_added_token(const JsonObject& entry) {
  if (entry.boolean("single_word", false)) entry.fail_key("single_word", "is not supported");
  AddedToken token{.content = entry.string("content"),
                   .id = entry.token_id("id"),
                   .lstrip = entry.boolean("lstrip", false),
                   .rstrip = entry.boolean("rstrip", false),
                   .normalized = entry.boolean("normalized", true),
                   .special = entry.boolean("special", false)};
  if (token.content.empty()) entry.fail_key("content", "is empty");
  return token;
}

void read_added_tokens(const JsonObject& root, TokenizerParts& parts) {
  if (!root.has("added_tokens")) return;
  const json& list = root.array("added_tokens");
  std::vector<AddedToken> tokens;
  for (std::size_t i = 0; i < list.size(); ++i) {
    tokens.push_back(read_added_token(root.element(list[i], "added_tokens", i)));
    parts.vocabulary.set(tokens.back().content, tokens.back().id);
  }
  parts.added = AddedTokens(std::move(tokens));
}

// What a template puts before and after sequence A.
void read_template(const JsonObject& processor, TokenizerParts& parts) {
  const json& single = processor.array("single");
  bool after_text = false;
  for (std::size_t i = 0; i < single.size(); ++i) {
    const JsonObject piece = processor.element(single[i], "single", i);
    if (piece.has("Sequence")) {
      after_text = true;
      continue;
    }
    const std::string name = piece.object("SpecialToken").string("id");
    const JsonObject token = processor.object("special_tokens").object(name);
    for (const json& id : token.array("ids"))
      (after_text ? parts.suffix : parts.prefix).push_back(token.to_id(id, "ids"));
  }
}

void read_post_processor(const JsonObject& root, TokenizerParts& parts) {
  if (!root.has("post_processor")) return;
  for_each_part(
      root.object("post_processor"), "processors",
      [&](const JsonObject& part, const std::string& type) {
        if (type == "TemplateProcessing") return read_template(part, parts);
        if (type != "ByteLevel")  // only moves offsets
          part.fail(fmt::format(
              "of type '{}' is not supported (supported: ByteLevel, TemplateProcessing)", type));
      });
}

void fill_decoded(TokenizerParts& parts) {
  const std::int64_t size = parts.vocabulary.size();
  parts.decoded.resize(size);
  parts.special.resize(size);
  for (TokenId id = 0; id < size; ++id) {
    const std::string& token = parts.vocabulary[id];
    // A token with a character that stands for no byte is taken as its own text, as the ByteLevel
    // decoder does.
    parts.decoded[id] = chars_to_bytes(token).value_or(token);
  }
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
  read_pre_tokenizer(root, *parts);
  read_model(root, origin, *parts);
  read_added_tokens(root, *parts);
  read_post_processor(root, *parts);
  fill_decoded(*parts);
  read_roles(*parts, origin);
  return parts;
}

}  // namespace tandem::data
