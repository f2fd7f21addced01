#include "data/tokenizer/json_object.h"

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::data {

using nlohmann::json;

namespace {

// A vocabulary of this many entries is a damaged file, not a model.
constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 24;

}  // namespace

json parse_json(const std::string& text, std::string_view origin) {
  try {
    return runtime::parse_json(text);
  } catch (const json::parse_error& error) {
    runtime::throw_error("{}: not valid JSON (near byte {}); fetch or export the tokenizer again",
                         origin, error.byte);
  }
}

JsonObject::JsonObject(const json& value, std::string_view origin, std::string path)
    : value_(value), origin_(origin), path_(std::move(path)) {
  if (!value_.is_object()) fail("is not an object");
}

void JsonObject::fail(std::string_view what) const {
  runtime::throw_error("{}: {} {}", origin_, path_.empty() ? "the document" : path_, what);
}

void JsonObject::fail_key(std::string_view key, std::string_view what) const {
  runtime::throw_error("{}: {} {}", origin_, child_path(key), what);
}

bool JsonObject::has(std::string_view key) const {
  const auto entry = value_.find(key);
  return entry != value_.end() && !entry->is_null();
}

const json& JsonObject::get(std::string_view key) const {
  if (!has(key)) fail_key(key, "is missing");
  return *value_.find(key);
}

std::string JsonObject::string(std::string_view key) const {
  if (!get(key).is_string()) fail_key(key, "is not a string");
  return get(key).get<std::string>();
}

bool JsonObject::boolean(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!get(key).is_boolean()) fail_key(key, "is not true or false");
  return get(key).get<bool>();
}

double JsonObject::number(std::string_view key) const {
  if (!get(key).is_number()) fail_key(key, "is not a number");
  return get(key).get<double>();
}

std::size_t JsonObject::count(std::string_view key) const {
  if (!get(key).is_number_unsigned()) fail_key(key, "is not a whole number");
  return get(key).get<std::size_t>();
}

TokenId JsonObject::token_id(std::string_view key) const {
  return to_id(get(key), key);
}

TokenId JsonObject::to_id(const json& value, std::string_view key) const {
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
      value.get<std::int64_t>() >= kMaxVocabulary)
    fail_key(key, "is not a token id");
  return value.get<TokenId>();
}

JsonObject JsonObject::object(std::string_view key) const {
  return {get(key), origin_, child_path(key)};
}

JsonObject JsonObject::element(const json& value, std::string_view key, std::size_t index) const {
  return {value, origin_, fmt::format("{}[{}]", child_path(key), index)};
}

const json& JsonObject::array(std::string_view key) const {
  if (!get(key).is_array()) fail_key(key, "is not a list");
  return get(key);
}

std::string JsonObject::child_path(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

}  // namespace tandem::data
