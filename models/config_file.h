// One config.json as its readers see it: typed values by key, and refusals that name file and key.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "models/family.h"
#include "runtime/base/error.h"

namespace tandem::models {

class ConfigFile {
 public:
  // Throws Error for a file that cannot be read or is not a JSON object.
  static ConfigFile open(const std::string& path);
  ConfigFile(std::string path, nlohmann::json object)
      : path_(std::move(path)), object_(std::move(object)) {}

  const std::string& path() const { return path_; }
  // Present and not null.
  bool has(std::string_view key) const;
  // The value, or `fallback` where the key is absent or null. Throws Error for another type.
  std::int64_t integer(std::string_view key, std::int64_t fallback) const;
  double number(std::string_view key, double fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::string text(std::string_view key, const std::string& fallback) const;
  // A size that has to be there and to be positive.
  std::int64_t size(std::string_view key) const;
  // −1 where there is none; the first of a list.
  std::int64_t token_id(std::string_view key) const;
  // An object below `key`; empty where there is none.
  ConfigFile section(std::string_view key) const;
  const nlohmann::json& object() const { return object_; }

  // Throws unless `key` is absent or has one of these values.
  void expect_text(std::string_view key, std::initializer_list<std::string_view> values) const;
  void expect_flag(std::string_view key, bool value) const;
  template <typename... Args>
  [[noreturn]] void refuse(std::string_view key, fmt::format_string<Args...> format,
                           Args&&... args) const {
    runtime::throw_error("{}: '{}' {}", path_, key,
                         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  template <typename T>
  T value(std::string_view key, const T& fallback, std::string_view expected) const;

  std::string path_;
  nlohmann::json object_;
};

// What every family's config.json says in the same way: initializer_range, tie_word_embeddings
// (`tied` where absent), the special tokens and a classifier's labels.
void read_common(const ConfigFile& file, FamilyConfig& config, bool tied = false);
// The same written, with vocab_size, model_type, the type of the weights and, for a scalar head,
// its one label. Labels belong to Head::kClassification alone.
nlohmann::json common_json(const FamilyConfig& config, Head head);

// How transformers calls a model with this head, after the family's name; `language_model` is the
// family's own word for one that predicts tokens.
std::string_view class_suffix(Head head, std::string_view language_model);

// id2label or num_labels, and problem_type: where that says nothing, one label is a number, as in
// transformers.
Labels read_labels(const ConfigFile& file);
void write_labels(const Labels& labels, nlohmann::json& object);

// The configuration in such a file, wherever it came from (family.h).
AnyConfig read_config(const ConfigFile& file);

}  // namespace tandem::models
