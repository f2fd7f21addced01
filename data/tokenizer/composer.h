// Puts a tokenizer.json together around a vocabulary that another file format holds, with the roles
// of special tokens that the companion files or else the format's defaults give them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/json_object.h"
#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

using Roles = std::vector<std::pair<std::string, std::string>>;  // role and its default token

class Composer {
 public:
  // `files` has the companion files only; `vocabulary` maps tokens to ids; `origin`, which must
  // outlive the composer, names the files in errors.
  Composer(TokenizerFiles files, nlohmann::json vocabulary, const Roles& roles,
           std::string_view origin);

  bool option(const char* key, bool fallback) const { return settings_.boolean(key, fallback); }
  const JsonObject& settings() const { return settings_; }
  nlohmann::json& document() { return document_; }

  // ["[SEP]", 102]
  nlohmann::json token_pair(const std::string& role) const;
  bool has(const std::string& role) const { return roles_.contains(role); }
  std::string token(const std::string& role) const;

  // A token that is cut out of the text, unless it is one already. `found_by_model`: the model
  // itself finds it in the text, and Hugging Face cuts it out.
  void add_token(const std::string& content, std::int64_t id, bool special,
                 bool found_by_model = false);
  // The roles' tokens around every text; empty: none.
  void set_template(const std::string& prefix_role, const std::string& suffix_role);

  // `model` with the vocabulary, unless it has its own.
  TokenizerFiles finish(nlohmann::json model);

 private:
  void add_listed_tokens();
  void add_role(const std::string& role, const std::string& fallback);

  TokenizerFiles files_;
  nlohmann::json config_;
  nlohmann::json map_;
  nlohmann::json vocabulary_;
  std::string origin_of_config_;
  JsonObject settings_;
  nlohmann::json document_;
  nlohmann::json roles_ = nlohmann::json::object();
  nlohmann::json ids_ = nlohmann::json::object();
  std::int64_t next_id_ = 0;
};

// A TemplateProcessing that puts a token before and another behind every text; each a name and its
// id.
using NamedToken = std::optional<std::pair<std::string, TokenId>>;
nlohmann::ordered_json template_around(const NamedToken& before, const NamedToken& behind);

}  // namespace tandem::data
