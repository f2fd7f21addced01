// Reading the JSON of tokenizer files with errors that name file and key.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "data/tokenizer/tokenizer.h"
#include "runtime/base/error.h"

namespace tandem::data {

// `origin` names the file in errors.
inline nlohmann::json parse_json(const std::string& text, std::string_view origin) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    runtime::throw_error("{}: not valid JSON (near byte {}); fetch or export the tokenizer again",
                         origin, error.byte);
  }
}

// Reads keys of one JSON object. The value and `origin` must outlive it; `path` is the key path of
// the object in its file.
class JsonObject {
 public:
  JsonObject(const nlohmann::json& value, std::string_view origin, std::string path)
      : value_(value), origin_(origin), path_(std::move(path)) {
    if (!value_.is_object()) fail("is not an object");
  }

  [[noreturn]] void fail(std::string_view what) const {
    runtime::throw_error("{}: {} {}", origin_, path_.empty() ? "the document" : path_, what);
  }
  [[noreturn]] void fail_key(std::string_view key, std::string_view what) const {
    runtime::throw_error("{}: {} {}", origin_, child_path(key), what);
  }

  // Absent and null are the same.
  bool has(std::string_view key) const {
    const auto entry = value_.find(key);
    return entry != value_.end() && !entry->is_null();
  }
  const nlohmann::json& get(std::string_view key) const {
    if (!has(key)) fail_key(key, "is missing");
    return *value_.find(key);
  }
  std::string string(std::string_view key) const {
    if (!get(key).is_string()) fail_key(key, "is not a string");
    return get(key).get<std::string>();
  }
  bool boolean(std::string_view key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!get(key).is_boolean()) fail_key(key, "is not true or false");
    return get(key).get<bool>();
  }
  double number(std::string_view key) const {
    if (!get(key).is_number()) fail_key(key, "is not a number");
    return get(key).get<double>();
  }
  std::size_t count(std::string_view key) const {
    if (!get(key).is_number_unsigned()) fail_key(key, "is not a whole number");
    return get(key).get<std::size_t>();
  }
  TokenId token_id(std::string_view key) const { return to_id(get(key), key); }
  TokenId to_id(const nlohmann::json& value, std::string_view key) const {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
        value.get<std::int64_t>() >= kMaxVocabulary)
      fail_key(key, "is not a token id");
    return value.get<TokenId>();
  }
  JsonObject object(std::string_view key) const { return {get(key), origin_, child_path(key)}; }
  JsonObject element(const nlohmann::json& value, std::string_view key, std::size_t index) const {
    return {value, origin_, fmt::format("{}[{}]", child_path(key), index)};
  }
  const nlohmann::json& array(std::string_view key) const {
    if (!get(key).is_array()) fail_key(key, "is not a list");
    return get(key);
  }
  const nlohmann::json& value() const { return value_; }

 private:
  std::string child_path(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  }

  // A vocabulary of this many entries is a damaged file, not a model.
  static constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 24;

  const nlohmann::json& value_;
  std::string_view origin_;
  std::string path_;
};

}  // namespace tandem::data
