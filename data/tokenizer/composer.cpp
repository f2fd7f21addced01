#include "data/tokenizer/composer.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/io/json_text.h"

namespace tandem::data {

using nlohmann::json;

namespace {

json read_companion(const std::string& text, std::string_view origin) {
  return text.empty() ? json::object()
                      : parse_json(text, fmt::format("{} (its companion files)", origin));
}

// A role is a string or an object with "content".
std::optional<std::string> named(const json& document, const std::string& role) {
  if (!document.is_object() || !document.contains(role)) return std::nullopt;
  const json& value = document[role];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return std::string();  // null: the tokenizer has none
}

}  // namespace

Composer::Composer(TokenizerFiles files, json vocabulary, const Roles& roles,
                   std::string_view origin)
    : files_(std::move(files)),
      config_(read_companion(files_.tokenizer_config_json, origin)),
      map_(read_companion(files_.special_tokens_map_json, origin)),
      vocabulary_(std::move(vocabulary)),
      origin_of_config_(fmt::format("{} (tokenizer_config.json)", origin)),
      settings_(config_, origin_of_config_, "") {
  for (const json& id : vocabulary_)
    if (id.is_number_integer()) next_id_ = std::max(next_id_, id.get<std::int64_t>() + 1);
  document_ = {{"version", "1.0"}, {"added_tokens", json::array()}};
  add_listed_tokens();
  for (const auto& [role, fallback] : roles) add_role(role, fallback);
}

json Composer::token_pair(const std::string& role) const {
  const std::string name = token(role);
  return {name, ids_.at(name)};
}

std::string Composer::token(const std::string& role) const {
  if (!has(role)) settings_.fail_key(role, "is missing");
  return roles_[role].get<std::string>();
}

void Composer::add_token(const std::string& content, std::int64_t id, bool special,
                         bool found_by_model) {
  if (ids_.contains(content)) return;
  ids_[content] = id;
  json token = {{"id", id}, {"content", content}, {"normalized", false}, {"special", special}};
  for (const char* flag : {"single_word", "lstrip", "rstrip"}) token[flag] = false;
  if (found_by_model) token["found_by_model"] = true;
  document_["added_tokens"].push_back(std::move(token));
}

void Composer::set_template(const std::string& prefix_role, const std::string& suffix_role) {
  const auto named_token = [&](const std::string& role) -> NamedToken {
    if (role.empty()) return std::nullopt;
    return std::pair(token(role), ids_.at(token(role)).get<TokenId>());
  };
  if (!prefix_role.empty() || !suffix_role.empty())
    document_["post_processor"] =
        template_around(named_token(prefix_role), named_token(suffix_role));
}

TokenizerFiles Composer::finish(json model) {
  if (!model.contains("vocab")) model["vocab"] = std::move(vocabulary_);
  document_["model"] = std::move(model);
  for (const auto& [role, token] : roles_.items())
    if (!map_.contains(role) && !config_.contains(role)) config_[role] = token;
  // transformers calls the class that reads a tokenizer.json so.
  if (!config_.contains("tokenizer_class")) config_["tokenizer_class"] = "PreTrainedTokenizerFast";
  files_.tokenizer_json = runtime::json_text(document_) + "\n";
  files_.tokenizer_config_json = runtime::json_text(config_, 2) + "\n";
  return std::move(files_);
}

// `added_tokens_decoder` of tokenizer_config.json: id → token.
void Composer::add_listed_tokens() {
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

void Composer::add_role(const std::string& role, const std::string& fallback) {
  const std::string token = named(config_, role).value_or(named(map_, role).value_or(fallback));
  if (token.empty()) return;
  roles_[role] = token;
  if (ids_.contains(token)) return;
  const auto known = vocabulary_.find(token);
  add_token(token,
            known != vocabulary_.end() && known->is_number_integer() ? known->get<std::int64_t>()
                                                                     : next_id_++,
            true);
}

nlohmann::ordered_json template_around(const NamedToken& before, const NamedToken& behind) {
  json single = json::array(), pair = json::array(), special = json::object();
  const auto add = [](json& list, const char* kind, const std::string& id, int type) {
    list.push_back({{kind, {{"id", id}, {"type_id", type}}}});
  };
  const auto add_text = [&](json& list, const char* id, int type) {
    if (before) add(list, "SpecialToken", before->first, type);
    add(list, "Sequence", id, type);
    if (behind) add(list, "SpecialToken", behind->first, type);
  };
  add_text(single, "A", 0);
  add_text(pair, "A", 0);
  add_text(pair, "B", 1);
  for (const NamedToken& token : {before, behind})
    if (token)
      special[token->first] = {
          {"id", token->first}, {"ids", {token->second}}, {"tokens", {token->first}}};
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special}};
}

}  // namespace tandem::data
