#include "data/tokenizer/vocabulary_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "data/tokenizer/json_object.h"
#include "data/utf8.h"

namespace tandem::data {
namespace {

using nlohmann::json;

using Roles = std::vector<std::pair<std::string, std::string>>;  // role and its default token

const Roles kBertRoles = {{"unk_token", "[UNK]"},
                          {"sep_token", "[SEP]"},
                          {"pad_token", "[PAD]"},
                          {"cls_token", "[CLS]"},
                          {"mask_token", "[MASK]"}};
const Roles kGpt2Roles = {{"bos_token", "<|endoftext|>"},
                          {"eos_token", "<|endoftext|>"},
                          {"unk_token", "<|endoftext|>"},
                          {"pad_token", ""}};
const Roles kRobertaRoles = {
    {"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "<unk>"},  {"sep_token", "</s>"},
    {"pad_token", "<pad>"}, {"cls_token", "<s>"},  {"mask_token", "<mask>"}};

// Lines without their ends; an end after the last makes no further one.
std::vector<std::string> lines_of(std::string_view text, std::string_view origin) {
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    runtime::throw_error("{}: not UTF-8 at byte {}; fetch or export the tokenizer again", origin,
                         bad);
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// Puts the document together around a vocabulary.
class Composer {
 public:
  Composer(TokenizerFiles files, json vocabulary, const Roles& roles, std::string_view origin)
      : files_(std::move(files)),
        config_(read(files_.tokenizer_config_json, origin)),
        map_(read(files_.special_tokens_map_json, origin)),
        vocabulary_(std::move(vocabulary)),
        origin_of_config_(fmt::format("{} (tokenizer_config.json)", origin)),
        settings_(config_, origin_of_config_, "") {
    for (const json& id : vocabulary_)
      if (id.is_number_integer()) next_id_ = std::max(next_id_, id.get<std::int64_t>() + 1);
    document_ = {{"version", "1.0"}, {"added_tokens", json::array()}};
    add_listed_tokens();
    for (const auto& [role, fallback] : roles) add_role(role, fallback);
  }

  bool option(const char* key, bool fallback) const { return settings_.boolean(key, fallback); }
  const JsonObject& settings() const { return settings_; }
  json& document() { return document_; }
  // ["[SEP]", 102]
  json token_pair(const std::string& role) const {
    const std::string name = token(role);
    return {name, ids_.at(name)};
  }
  std::string token(const std::string& role) const {
    if (!roles_.contains(role)) settings_.fail_key(role, "is missing");
    return roles_[role].get<std::string>();
  }

  TokenizerFiles finish(json model) {
    model["vocab"] = std::move(vocabulary_);
    document_["model"] = std::move(model);
    for (const auto& [role, token] : roles_.items())
      if (!map_.contains(role) && !config_.contains(role)) config_[role] = token;
    files_.tokenizer_json = document_.dump() + "\n";
    files_.tokenizer_config_json = config_.dump(2) + "\n";
    return std::move(files_);
  }

 private:
  static json read(const std::string& text, std::string_view origin) {
    return text.empty() ? json::object()
                        : parse_json(text, fmt::format("{} (its companion files)", origin));
  }

  // `added_tokens_decoder` of tokenizer_config.json: id → token.
  void add_listed_tokens() {
    if (!settings_.has("added_tokens_decoder")) return;
    for (const auto& [id, entry] : settings_.object("added_tokens_decoder").value().items()) {
      if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos)
        settings_.fail_key("added_tokens_decoder", fmt::format("has '{}', which is no id", id));
      json token = entry;
      token["id"] = std::stoll(id);
      const auto content =
          JsonObject(token, origin_of_config_, "added_tokens_decoder").string("content");
      ids_[content] = token["id"];
      next_id_ = std::max<std::int64_t>(next_id_, std::stoll(id) + 1);
      document_["added_tokens"].push_back(std::move(token));
    }
  }

  void add_role(const std::string& role, const std::string& fallback) {
    const std::string token = named(config_, role).value_or(named(map_, role).value_or(fallback));
    if (token.empty()) return;
    roles_[role] = token;
    if (ids_.contains(token)) return;
    const auto known = vocabulary_.find(token);
    const std::int64_t id = known != vocabulary_.end() && known->is_number_integer()
                                ? known->get<std::int64_t>()
                                : next_id_++;
    ids_[token] = id;
    document_["added_tokens"].push_back(
        {{"id", id}, {"content", token}, {"normalized", false}, {"special", true}});
  }

  // A role is a string or an object with "content".
  static std::optional<std::string> named(const json& document, const std::string& role) {
    if (!document.is_object() || !document.contains(role)) return std::nullopt;
    const json& value = document[role];
    if (value.is_string()) return value.get<std::string>();
    if (value.is_object() && value.contains("content") && value["content"].is_string())
      return value["content"].get<std::string>();
    return std::string();  // null: the tokenizer has none
  }

  TokenizerFiles files_;
  json config_;
  json map_;
  json vocabulary_;
  std::string origin_of_config_;
  JsonObject settings_;
  json document_;
  json roles_ = json::object();
  json ids_ = json::object();
  std::int64_t next_id_ = 0;
};

bool is_roberta(const TokenizerFiles& files, const json& vocabulary, std::string_view origin) {
  if (!files.tokenizer_config_json.empty()) {
    const json config = parse_json(files.tokenizer_config_json, origin);
    if (config.is_object() && config.contains("tokenizer_class")) {
      const std::string name = config["tokenizer_class"].dump();
      return name.find("Roberta") != std::string::npos || name.find("Bart") != std::string::npos;
    }
  }
  return vocabulary.contains("<s>") && !vocabulary.contains("<|endoftext|>");
}

}  // namespace

TokenizerFiles compose_from_vocab_txt(TokenizerFiles files, std::string_view vocab_txt,
                                      std::string_view origin) {
  json vocabulary = json::object();
  const auto lines = lines_of(vocab_txt, origin);
  for (std::size_t id = 0; id < lines.size(); ++id) vocabulary[lines[id]] = id;
  Composer composer(std::move(files), std::move(vocabulary), kBertRoles, origin);
  json& document = composer.document();
  document["normalizer"] = {
      {"type", "BertNormalizer"},
      {"handle_chinese_chars", composer.option("tokenize_chinese_chars", true)},
      {"lowercase", composer.option("do_lower_case", true)}};
  if (composer.settings().has("strip_accents"))
    document["normalizer"]["strip_accents"] = composer.option("strip_accents", true);
  document["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  document["post_processor"] = {{"type", "BertProcessing"},
                                {"sep", composer.token_pair("sep_token")},
                                {"cls", composer.token_pair("cls_token")}};
  document["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  return composer.finish({{"type", "WordPiece"},
                          {"unk_token", composer.token("unk_token")},
                          {"continuing_subword_prefix", "##"},
                          {"max_input_chars_per_word", 100}});
}

TokenizerFiles compose_from_merges(TokenizerFiles files, const std::string& vocab_json,
                                   std::string_view merges_txt, std::string_view origin) {
  json vocabulary = parse_json(vocab_json, origin);
  JsonObject(vocabulary, origin, "vocab");  // checks that it is an object
  const bool roberta = is_roberta(files, vocabulary, origin);
  Composer composer(std::move(files), std::move(vocabulary), roberta ? kRobertaRoles : kGpt2Roles,
                    origin);
  for (const char* key : {"add_bos_token", "add_eos_token"})
    if (composer.option(key, false))
      composer.settings().fail_key(key, "is not supported without a tokenizer.json");
  const json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", composer.option("add_prefix_space", false)}};
  json& document = composer.document();
  document["pre_tokenizer"] = byte_level;
  document["decoder"] = byte_level;
  if (roberta)
    document["post_processor"] = {{"type", "RobertaProcessing"},
                                  {"sep", composer.token_pair("sep_token")},
                                  {"cls", composer.token_pair("cls_token")}};
  json merges = json::array();
  auto lines = lines_of(merges_txt, origin);
  if (!lines.empty() && lines[0].starts_with("#version")) lines.erase(lines.begin());
  for (std::string& line : lines)
    if (!line.empty()) merges.push_back(std::move(line));
  return composer.finish({{"type", "BPE"}, {"merges", std::move(merges)}});
}

}  // namespace tandem::data
