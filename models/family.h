// Families of models and how they are found: `model_type` in config.json or in a recipe names one,
// and from then on its sizes are a FamilyConfig that nobody else looks into.
//
//   const AnyConfig config = read_config(directory / "config.json");
//   std::unique_ptr<Model> model = config->make(options);
//
// A new family is a folder with such a struct, its weights and its forward over models/layers, and
// one line in family.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "runtime/base/fields.h"

namespace tandem::models {

class ConfigFile;

// The sizes that every family has, and what is done with a family. Names follow Llama's config.json
// in recipes, and the family's own in config.json.
struct FamilyConfig {
  std::int64_t vocab_size = 0;  // 0: taken from the tokenizer
  std::int64_t hidden_size = 256;
  std::int64_t intermediate_size = 768;
  std::int64_t num_hidden_layers = 4;
  std::int64_t num_attention_heads = 4;
  std::int64_t max_position_embeddings = 1024;
  double initializer_range = 0.02;
  bool tie_word_embeddings = true;
  std::int64_t bos_token_id = -1;
  std::int64_t eos_token_id = -1;
  std::int64_t pad_token_id = -1;
  Labels labels;  // of Head::kClassification

  virtual ~FamilyConfig() = default;
  virtual std::string_view model_type() const = 0;
  virtual ModelKind kind() const = 0;
  virtual TextObjective text_objective() const = 0;
  // Blocks that a pipeline can be cut between.
  virtual std::int64_t block_count() const { return num_hidden_layers; }
  // Takes over a tokenizer's special tokens; −1 where it has none.
  virtual void set_special_tokens(std::int64_t bos, std::int64_t eos, std::int64_t pad);
  virtual std::unique_ptr<FamilyConfig> clone() const = 0;
  // The recipe's keys of this family, in the recipe's `model` section.
  virtual void visit_fields(runtime::FieldVisitor& v) = 0;
  // Throws Error naming the first size that contradicts another, or that `tensor_parallel` does not
  // divide.
  virtual void validate(std::int64_t tensor_parallel) const = 0;
  // Takes everything from config.json of transformers 4 or 5. Throws Error naming file and key for
  // a feature that is not supported.
  virtual void read(const ConfigFile& file) = 0;
  // config.json in a form that both versions read.
  virtual std::string to_json(Head head) const = 0;
  // Parameters are allocated but hold no values: call parameters().initialize(seed) or load
  // weights. Throws what validate throws.
  virtual std::unique_ptr<Model> make(const BuildOptions& options) const = 0;
};

// A family's configuration as a value.
class AnyConfig {
 public:
  AnyConfig() : AnyConfig("llama") {}
  explicit AnyConfig(std::string_view model_type);
  AnyConfig(const AnyConfig& other) : config_(other.config_->clone()) {}
  AnyConfig(AnyConfig&& other) noexcept = default;
  AnyConfig& operator=(AnyConfig other) noexcept {
    config_ = std::move(other.config_);
    return *this;
  }

  FamilyConfig* operator->() { return config_.get(); }
  const FamilyConfig* operator->() const { return config_.get(); }
  FamilyConfig& operator*() { return *config_; }
  const FamilyConfig& operator*() const { return *config_; }

 private:
  std::unique_ptr<FamilyConfig> config_;
};

// Every known `model_type`.
std::span<const std::string_view> known_model_types();
bool is_known_model_type(std::string_view model_type);

// Reads config.json. Throws Error naming the file, and the key for an unknown family or a feature
// that is not supported.
AnyConfig read_config(const std::string& path);

// ---- for the families' own validate() and visit_fields()

// Throws Error unless `value` is positive.
void require_positive(std::string_view key, std::int64_t value);
// Throws Error unless `tensor_parallel` divides `value`.
void require_divisible(std::string_view key, std::int64_t value, std::int64_t tensor_parallel);
// What holds of all families with these sizes: positive, whole heads, divided by the ranks.
void require_sound_sizes(const FamilyConfig& config, std::int64_t tensor_parallel);
// Throws Error for an output matrix of its own, in a family that has none.
void require_tied(const FamilyConfig& config);
// The keys that all families have.
void visit_sizes(runtime::FieldVisitor& v, FamilyConfig& config);

}  // namespace tandem::models
