#include "models/family.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "models/bart/bart.h"
#include "models/bert/bert.h"
#include "models/config_file.h"
#include "models/gpt2/gpt2.h"
#include "models/llama/config.h"
#include "models/t5/t5.h"
#include "runtime/base/error.h"

namespace tandem::models {

using runtime::throw_error;

namespace {

struct Family {
  std::string_view model_type;
  std::unique_ptr<FamilyConfig> (*make)();
};

template <typename Config>
std::unique_ptr<FamilyConfig> make_config() {
  return std::make_unique<Config>();
}

template <LlamaVariant variant>
std::unique_ptr<FamilyConfig> make_llama_like() {
  auto config = std::make_unique<LlamaConfig>();
  config->variant = variant;
  return config;
}

constexpr std::array kFamilies = {
    Family{"llama", make_llama_like<LlamaVariant::kLlama>},
    Family{"mistral", make_llama_like<LlamaVariant::kMistral>},
    Family{"qwen2", make_llama_like<LlamaVariant::kQwen2>},
    Family{"qwen3", make_llama_like<LlamaVariant::kQwen3>},
    Family{"gemma", make_llama_like<LlamaVariant::kGemma>},
    Family{"gpt2", make_config<Gpt2Config>},
    Family{"bert", make_config<BertConfig>},
    Family{"t5", make_config<T5Config>},
    Family{"bart", make_config<BartConfig>},
};

constexpr auto kModelTypes = [] {
  std::array<std::string_view, kFamilies.size()> types;
  std::ranges::transform(kFamilies, types.begin(), &Family::model_type);
  return types;
}();

}  // namespace

std::span<const std::string_view> known_model_types() {
  return kModelTypes;
}

bool is_known_model_type(std::string_view model_type) {
  return std::ranges::find(kModelTypes, model_type) != kModelTypes.end();
}

AnyConfig::AnyConfig(std::string_view model_type) {
  const auto found = std::ranges::find(kFamilies, model_type, &Family::model_type);
  TANDEM_CHECK(found != kFamilies.end(), "no family '{}'", model_type);
  config_ = found->make();
}

AnyConfig read_config(const std::string& path) {
  return read_config(ConfigFile::open(path));
}

AnyConfig read_config(const ConfigFile& file) {
  const std::string type = file.text("model_type", "");
  if (!is_known_model_type(type))
    file.refuse("model_type", "is '{}', which is not supported; known: {}", type,
                fmt::join(kModelTypes, ", "));
  AnyConfig config(type);
  config->read(file);
  try {
    config->validate(1);
  } catch (const runtime::Error& error) {
    throw_error("{}: {}", file.path(), error.what());
  }
  return config;
}

void FamilyConfig::set_special_tokens(std::int64_t bos, std::int64_t eos, std::int64_t pad) {
  bos_token_id = bos;
  eos_token_id = eos;
  pad_token_id = pad;
}

void require_positive(std::string_view key, std::int64_t value) {
  if (value <= 0) throw_error("model.{} must be positive, got {}", key, value);
}

void require_divisible(std::string_view key, std::int64_t value, std::int64_t tensor_parallel) {
  if (value % tensor_parallel != 0)
    throw_error(
        "model.{} {} is not divisible by tensor_parallel {}; use a tensor_parallel that divides "
        "it",
        key, value, tensor_parallel);
}

void require_sound_sizes(const FamilyConfig& config, std::int64_t tensor_parallel) {
  require_positive("hidden_size", config.hidden_size);
  require_positive("intermediate_size", config.intermediate_size);
  require_positive("num_hidden_layers", config.num_hidden_layers);
  require_positive("num_attention_heads", config.num_attention_heads);
  require_positive("max_position_embeddings", config.max_position_embeddings);
  if (config.hidden_size % config.num_attention_heads != 0)
    throw_error(
        "model.hidden_size {} is not divisible by num_attention_heads {}; choose a multiple",
        config.hidden_size, config.num_attention_heads);
  require_divisible("num_attention_heads", config.num_attention_heads, tensor_parallel);
  require_divisible("intermediate_size", config.intermediate_size, tensor_parallel);
}

void require_tied(const FamilyConfig& config) {
  if (!config.tie_word_embeddings)
    throw_error(
        "model.tie_word_embeddings false is not supported for {}, whose output matrix is its "
        "embedding",
        config.model_type());
}

void visit_sizes(runtime::FieldVisitor& v, FamilyConfig& config) {
  v.field({"vocab_size", "rows of the embedding; 0 takes the tokenizer's size", "tokens"},
          config.vocab_size);
  v.field({"hidden_size", "width of the residual stream"}, config.hidden_size);
  v.field({"intermediate_size", "width of the feed-forward layer"}, config.intermediate_size);
  v.field({"num_hidden_layers", "number of transformer blocks"}, config.num_hidden_layers);
  v.field({"num_attention_heads", "query heads per block"}, config.num_attention_heads);
  v.field({"max_position_embeddings", "longest sequence the model can read", "tokens"},
          config.max_position_embeddings);
  v.field({"initializer_range", "standard deviation of initial weights"}, config.initializer_range);
  v.field({"tie_word_embeddings", "use the embedding as output matrix too"},
          config.tie_word_embeddings);
}

}  // namespace tandem::models
