#include "models/llama/config.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/base/error.h"

namespace tandem::models {

using nlohmann::json;
using runtime::throw_error;

void LlamaConfig::visit_fields(runtime::FieldVisitor& v) {
  v.field({"vocab_size", "rows of the embedding; 0 takes the tokenizer's size", "tokens"},
          vocab_size);
  v.field({"hidden_size", "width of the residual stream"}, hidden_size);
  v.field({"intermediate_size", "width of the gated feed-forward layer"}, intermediate_size);
  v.field({"num_hidden_layers", "number of transformer blocks"}, num_hidden_layers);
  v.field({"num_attention_heads", "query heads per block"}, num_attention_heads);
  v.field({"num_key_value_heads",
           "key and value heads per block; each serves an equal share of the query heads"},
          num_key_value_heads);
  v.field({"head_dim", "width of one head; 0 means hidden_size / num_attention_heads"}, head_dim);
  v.field({"max_position_embeddings", "longest sequence the model can read", "tokens"},
          max_position_embeddings);
  v.field({"rope_theta", "base of the rotary position angles"}, rope_theta);
  v.field({"rms_norm_eps", "added to the mean square before the root"}, rms_norm_eps);
  v.field({"initializer_range", "standard deviation of initial weights"}, initializer_range);
  v.field({"tie_word_embeddings", "use the embedding as output matrix too"}, tie_word_embeddings);
}

void validate(const LlamaConfig& config, std::int64_t tensor_parallel) {
  const auto positive = [](std::string_view key, std::int64_t value) {
    if (value <= 0) throw_error("model.{} must be positive, got {}", key, value);
  };
  positive("hidden_size", config.hidden_size);
  positive("intermediate_size", config.intermediate_size);
  positive("num_hidden_layers", config.num_hidden_layers);
  positive("num_attention_heads", config.num_attention_heads);
  positive("num_key_value_heads", config.num_key_value_heads);
  positive("max_position_embeddings", config.max_position_embeddings);
  if (config.head_dim == 0 && config.hidden_size % config.num_attention_heads != 0)
    throw_error(
        "model.hidden_size {} is not divisible by num_attention_heads {}; choose a multiple or set "
        "head_dim",
        config.hidden_size, config.num_attention_heads);
  if (config.resolved_head_dim() % 2 != 0)
    throw_error("model.head_dim {} is odd, and rotary positions need pairs",
                config.resolved_head_dim());
  if (config.num_attention_heads % config.num_key_value_heads != 0)
    throw_error("model.num_attention_heads {} is not divisible by num_key_value_heads {}",
                config.num_attention_heads, config.num_key_value_heads);
  const auto divisible = [&](std::string_view key, std::int64_t value) {
    if (value % tensor_parallel != 0)
      throw_error(
          "model.{} {} is not divisible by tensor_parallel {}; use a tensor_parallel that divides "
          "it",
          key, value, tensor_parallel);
  };
  divisible("num_attention_heads", config.num_attention_heads);
  divisible("num_key_value_heads", config.num_key_value_heads);
  divisible("intermediate_size", config.intermediate_size);
}

namespace {

template <typename T>
T value_of(const json& object, const std::string& path, const char* key, T fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return fallback;
  try {
    return found->get<T>();
  } catch (const json::exception&) {
    throw_error("{}: '{}' has the value {}, which is not of the expected type", path, key,
                found->dump());
  }
}

std::int64_t first_token_id(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return -1;
  if (found->is_array()) return found->empty() ? -1 : found->front().get<std::int64_t>();
  return found->get<std::int64_t>();
}

double rope_theta_of(const json& object, const std::string& path) {
  const auto parameters = object.find("rope_parameters");
  const json& source = parameters != object.end() && parameters->is_object() ? *parameters : object;
  const auto scaling = object.find("rope_scaling");
  const std::string type = value_of<std::string>(source, path, "rope_type", "default");
  if (type != "default" || (scaling != object.end() && !scaling->is_null()))
    throw_error(
        "{}: rope type '{}' with scaling is not supported; only the default rotary positions are",
        path, type);
  return value_of<double>(source, path, "rope_theta", 10000.0);
}

}  // namespace

LlamaConfig read_llama_config(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    throw_error("{}: cannot be opened; a model directory holds config.json and model.safetensors",
                path);
  json object;
  try {
    object = json::parse(file);
  } catch (const json::exception& error) {
    throw_error("{}: not valid JSON: {}", path, error.what());
  }
  const auto type = value_of<std::string>(object, path, "model_type", "");
  if (type != "llama")
    throw_error("{}: model_type '{}' is not supported; known: llama", path, type);
  const auto activation = value_of<std::string>(object, path, "hidden_act", "silu");
  if (activation != "silu")
    throw_error("{}: hidden_act '{}' is not supported; Llama uses silu", path, activation);
  for (const char* key : {"attention_bias", "mlp_bias"})
    if (value_of<bool>(object, path, key, false))
      throw_error("{}: '{}: true' is not supported", path, key);
  LlamaConfig config;
  const auto read = [&](const char* key, std::int64_t& target, std::int64_t fallback) {
    target = value_of<std::int64_t>(object, path, key, fallback);
  };
  read("vocab_size", config.vocab_size, 0);
  read("hidden_size", config.hidden_size, 0);
  read("intermediate_size", config.intermediate_size, 0);
  read("num_hidden_layers", config.num_hidden_layers, 0);
  read("num_attention_heads", config.num_attention_heads, 0);
  read("num_key_value_heads", config.num_key_value_heads, config.num_attention_heads);
  read("head_dim", config.head_dim, 0);
  read("max_position_embeddings", config.max_position_embeddings, 2048);
  config.rope_theta = rope_theta_of(object, path);
  config.rms_norm_eps = value_of<double>(object, path, "rms_norm_eps", 1e-6);
  config.initializer_range = value_of<double>(object, path, "initializer_range", 0.02);
  config.tie_word_embeddings = value_of<bool>(object, path, "tie_word_embeddings", false);
  config.bos_token_id = first_token_id(object, "bos_token_id");
  config.eos_token_id = first_token_id(object, "eos_token_id");
  config.pad_token_id = first_token_id(object, "pad_token_id");
  if (config.vocab_size <= 0) throw_error("{}: vocab_size is missing", path);
  return config;
}

std::string to_config_json(const LlamaConfig& config, bool scalar_head, const std::string& dtype) {
  const auto id = [](std::int64_t value) { return value < 0 ? json(nullptr) : json(value); };
  json object = {
      {"architectures", {scalar_head ? "LlamaForSequenceClassification" : "LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_hidden_layers", config.num_hidden_layers},
      {"num_attention_heads", config.num_attention_heads},
      {"num_key_value_heads", config.num_key_value_heads},
      {"head_dim", config.resolved_head_dim()},
      {"max_position_embeddings", config.max_position_embeddings},
      {"rope_theta", config.rope_theta},
      {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", config.rope_theta}}},
      {"rms_norm_eps", config.rms_norm_eps},
      {"initializer_range", config.initializer_range},
      {"tie_word_embeddings", config.tie_word_embeddings},
      {"hidden_act", "silu"},
      {"attention_bias", false},
      {"mlp_bias", false},
      {"bos_token_id", id(config.bos_token_id)},
      {"eos_token_id", id(config.eos_token_id)},
      {"pad_token_id", id(config.pad_token_id)},
      {"dtype", dtype},
      {"torch_dtype", dtype},
  };
  if (scalar_head) {
    object["num_labels"] = 1;
    object["id2label"] = {{"0", "LABEL_0"}};
    object["label2id"] = {{"LABEL_0", 0}};
  }
  return object.dump(2) + "\n";
}

}  // namespace tandem::models
