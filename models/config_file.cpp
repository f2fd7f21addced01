#include "models/config_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>

#include "runtime/io/json_text.h"

namespace tandem::models {

using nlohmann::json;
using runtime::throw_error;

ConfigFile ConfigFile::open(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    throw_error("{}: cannot be opened; a model directory holds config.json and model.safetensors",
                path);
  json object;
  try {
    object = runtime::parse_json(std::string(std::istreambuf_iterator<char>(file), {}));
  } catch (const json::exception& error) {
    throw_error("{}: not valid JSON: {}", path, error.what());
  }
  if (!object.is_object()) throw_error("{}: not a JSON object", path);
  return {path, std::move(object)};
}

bool ConfigFile::has(std::string_view key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

template <typename T>
T ConfigFile::value(std::string_view key, const T& fallback, std::string_view expected) const {
  if (!has(key)) return fallback;
  const json& found = *object_.find(key);
  const bool fits = std::is_same_v<T, bool>           ? found.is_boolean()
                    : std::is_same_v<T, std::int64_t> ? found.is_number_integer()
                    : std::is_same_v<T, double>       ? found.is_number()
                                                      : found.is_string();
  if (!fits) refuse(key, "has the value {}, which is not {}", runtime::json_text(found), expected);
  return found.get<T>();
}

std::int64_t ConfigFile::integer(std::string_view key, std::int64_t fallback) const {
  return value<std::int64_t>(key, fallback, "an integer");
}
double ConfigFile::number(std::string_view key, double fallback) const {
  return value<double>(key, fallback, "a number");
}
bool ConfigFile::flag(std::string_view key, bool fallback) const {
  return value<bool>(key, fallback, "true or false");
}
std::string ConfigFile::text(std::string_view key, const std::string& fallback) const {
  return value<std::string>(key, fallback, "a text");
}

std::int64_t ConfigFile::size(std::string_view key) const {
  if (!has(key)) refuse(key, "is missing");
  const std::int64_t found = integer(key, 0);
  if (found <= 0) refuse(key, "must be positive, got {}", found);
  return found;
}

std::int64_t ConfigFile::token_id(std::string_view key) const {
  if (!has(key)) return -1;
  const json& found = *object_.find(key);
  const json& first = found.is_array() && !found.empty() ? found.front() : found;
  if (found.is_array() && found.empty()) return -1;
  if (!first.is_number_integer())
    refuse(key, "has the value {}, which is not a token id", runtime::json_text(found));
  return first.get<std::int64_t>();
}

ConfigFile ConfigFile::section(std::string_view key) const {
  if (!has(key)) return {path_, json::object()};
  const json& found = *object_.find(key);
  if (!found.is_object())
    refuse(key, "has the value {}, which is not an object", runtime::json_text(found));
  return {path_, found};
}

void ConfigFile::expect_text(std::string_view key,
                             std::initializer_list<std::string_view> values) const {
  if (!has(key)) return;
  const std::string found = text(key, "");
  if (std::ranges::find(values, found) == values.end())
    refuse(key, "is '{}', which is not supported; known: {}", found, fmt::join(values, ", "));
}

void ConfigFile::expect_flag(std::string_view key, bool value) const {
  if (flag(key, value) != value) refuse(key, "is {}, which is not supported", !value);
}

void read_common(const ConfigFile& file, FamilyConfig& config, bool tied) {
  config.initializer_range = file.number("initializer_range", 0.02);
  config.tie_word_embeddings = file.flag("tie_word_embeddings", tied);
  config.bos_token_id = file.token_id("bos_token_id");
  config.eos_token_id = file.token_id("eos_token_id");
  config.pad_token_id = file.token_id("pad_token_id");
  config.labels = read_labels(file);
}

std::string_view class_suffix(Head head, std::string_view language_model) {
  switch (head) {
    case Head::kLanguageModel:
      return language_model;
    case Head::kScalar:
    case Head::kClassification:
      return "ForSequenceClassification";
    case Head::kHiddenStates:
      return "Model";
  }
  return language_model;
}

json common_json(const FamilyConfig& config, Head head) {
  const auto id = [](std::int64_t value) { return value < 0 ? json(nullptr) : json(value); };
  json object = {
      {"model_type", config.model_type()},
      {"vocab_size", config.vocab_size},
      {"initializer_range", config.initializer_range},
      {"tie_word_embeddings", config.tie_word_embeddings},
      {"bos_token_id", id(config.bos_token_id)},
      {"eos_token_id", id(config.eos_token_id)},
      {"pad_token_id", id(config.pad_token_id)},
      {"dtype", "float32"},
      {"torch_dtype", "float32"},
  };
  if (head == Head::kScalar) {
    object["num_labels"] = 1;
    object["id2label"] = {{"0", "LABEL_0"}};
    object["label2id"] = {{"LABEL_0", 0}};
  }
  if (head == Head::kClassification) write_labels(config.labels, object);
  return object;
}

}  // namespace tandem::models
