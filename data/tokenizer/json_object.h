// Reading the JSON of tokenizer files with errors that name file and key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// `origin` names the file in errors.
nlohmann::json parse_json(const std::string& text, std::string_view origin);

// Reads keys of one JSON object. The value and `origin` must outlive it; `path` is the key path of
// the object in its file.
class JsonObject {
 public:
  JsonObject(const nlohmann::json& value, std::string_view origin, std::string path);

  [[noreturn]] void fail(std::string_view what) const;
  [[noreturn]] void fail_key(std::string_view key, std::string_view what) const;

  // Absent and null are the same.
  bool has(std::string_view key) const;
  const nlohmann::json& get(std::string_view key) const;
  std::string string(std::string_view key) const;
  bool boolean(std::string_view key, bool fallback) const;
  double number(std::string_view key) const;
  std::size_t count(std::string_view key) const;
  TokenId token_id(std::string_view key) const;
  TokenId to_id(const nlohmann::json& value, std::string_view key) const;
  JsonObject object(std::string_view key) const;
  JsonObject element(const nlohmann::json& value, std::string_view key, std::size_t index) const;
  const nlohmann::json& array(std::string_view key) const;
  const nlohmann::json& value() const { return value_; }

 private:
  std::string child_path(std::string_view key) const;

  const nlohmann::json& value_;
  std::string_view origin_;
  std::string path_;
};

}  // namespace tandem::data
