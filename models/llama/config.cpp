#include "models/llama/config.h"

#include <array>
#include <cmath>
#include <numbers>

#include "models/config_file.h"
#include "models/llama/llama.h"
#include "runtime/io/json_text.h"

namespace tandem::models {

using nlohmann::json;
using runtime::throw_error;

namespace {

struct VariantNames {
  std::string_view model_type;
  std::string_view class_prefix;  // of transformers' classes
};
constexpr std::array<VariantNames, 5> kNames = {{{"llama", "Llama"},
                                                 {"mistral", "Mistral"},
                                                 {"qwen2", "Qwen2"},
                                                 {"qwen3", "Qwen3"},
                                                 {"gemma", "Gemma"}}};

const VariantNames& names_of(LlamaVariant variant) {
  return kNames[static_cast<std::size_t>(variant)];
}

}  // namespace

std::string_view LlamaConfig::model_type() const {
  return names_of(variant).model_type;
}

std::int64_t LlamaConfig::window_of_layer(std::int64_t layer) const {
  const auto index = static_cast<std::size_t>(layer);
  return sliding_layers.empty() || sliding_layers[index] ? sliding_window : 0;
}

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
  if (variant == LlamaVariant::kMistral)
    v.field({"sliding_window", "keys that a query sees, its own included; 0 means all", "tokens"},
            sliding_window);
}

void LlamaConfig::validate(std::int64_t tensor_parallel) const {
  require_positive("hidden_size", hidden_size);
  require_positive("intermediate_size", intermediate_size);
  require_positive("num_hidden_layers", num_hidden_layers);
  require_positive("num_attention_heads", num_attention_heads);
  require_positive("num_key_value_heads", num_key_value_heads);
  require_positive("max_position_embeddings", max_position_embeddings);
  if (head_dim == 0 && hidden_size % num_attention_heads != 0)
    throw_error(
        "model.hidden_size {} is not divisible by num_attention_heads {}; choose a multiple or set "
        "head_dim",
        hidden_size, num_attention_heads);
  if (resolved_head_dim() % 2 != 0)
    throw_error("model.head_dim {} is odd, and rotary positions need pairs", resolved_head_dim());
  if (num_attention_heads % num_key_value_heads != 0)
    throw_error("model.num_attention_heads {} is not divisible by num_key_value_heads {}",
                num_attention_heads, num_key_value_heads);
  require_divisible("num_attention_heads", num_attention_heads, tensor_parallel);
  require_divisible("num_key_value_heads", num_key_value_heads, tensor_parallel);
  require_divisible("intermediate_size", intermediate_size, tensor_parallel);
}

std::unique_ptr<Model> LlamaConfig::make(const BuildOptions& options) const {
  return make_llama(*this, options);
}

// ---- rotary frequencies

std::vector<double> rope_frequencies(const LlamaConfig& config) {
  const std::int64_t dim = config.resolved_head_dim();
  const RopeScaling& scaling = config.rope_scaling;
  const auto context = static_cast<double>(scaling.original_max_position_embeddings);
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < dim / 2; ++i) {
    const double plain =
        1.0 / std::pow(config.rope_theta, 2.0 * static_cast<double>(i) / static_cast<double>(dim));
    const double wavelength = 2.0 * std::numbers::pi / plain;
    // 1 keeps the frequency, 0 divides it by the factor.
    double keep = 1.0;
    if (scaling.kind == RopeScaling::Kind::kLinear) keep = 0.0;
    if (scaling.kind == RopeScaling::Kind::kLlama3) {
      keep = (context / wavelength - scaling.low_freq_factor) /
             (scaling.high_freq_factor - scaling.low_freq_factor);
      keep = std::clamp(keep, 0.0, 1.0);
    }
    frequencies.push_back(keep * plain + (1.0 - keep) * plain / scaling.factor);
  }
  return frequencies;
}

// ---- config.json

namespace {

// transformers 5 has everything in rope_parameters; 4 has rope_theta beside rope_scaling.
void read_rope(const ConfigFile& file, LlamaConfig& config) {
  const bool v5 = file.has("rope_parameters");
  const ConfigFile rope = file.section(v5 ? "rope_parameters" : "rope_scaling");
  const std::string type =
      rope.text("rope_type", rope.text("type", v5 || rope.object().empty() ? "default" : "linear"));
  config.rope_theta = (v5 && rope.has("rope_theta") ? rope : file).number("rope_theta", 10000.0);
  RopeScaling& scaling = config.rope_scaling;
  if (type == "default") return;
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
  } else {
    rope.refuse("rope_type", "is '{}', which is not supported; known: default, linear, llama3",
                type);
  }
  scaling.factor = rope.number("factor", 1.0);
  scaling.low_freq_factor = rope.number("low_freq_factor", 1.0);
  scaling.high_freq_factor = rope.number("high_freq_factor", 4.0);
  scaling.original_max_position_embeddings =
      rope.integer("original_max_position_embeddings", config.max_position_embeddings);
  if (scaling.factor <= 0) rope.refuse("factor", "must be positive, got {}", scaling.factor);
  if (scaling.high_freq_factor <= scaling.low_freq_factor)
    rope.refuse("high_freq_factor", "must be more than low_freq_factor");
}

void read_window(const ConfigFile& file, LlamaConfig& config) {
  if (config.variant == LlamaVariant::kLlama || config.variant == LlamaVariant::kGemma) return;
  const bool mistral = config.variant == LlamaVariant::kMistral;
  if (!mistral && !file.flag("use_sliding_window", false)) return;
  config.sliding_window = file.integer("sliding_window", 0);
  if (config.sliding_window == 0 || mistral) return;
  if (!file.has("layer_types")) {
    const std::int64_t first = file.integer("max_window_layers", config.num_hidden_layers);
    for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
      config.sliding_layers.push_back(i >= first);
    return;
  }
  for (const json& type : file.object()["layer_types"])
    config.sliding_layers.push_back(type == "sliding_attention");
  if (static_cast<std::int64_t>(config.sliding_layers.size()) != config.num_hidden_layers)
    file.refuse("layer_types", "names {} layers, but num_hidden_layers is {}",
                config.sliding_layers.size(), config.num_hidden_layers);
}

json rope_json(const LlamaConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.kind == RopeScaling::Kind::kDefault) return {{"rope_type", "default"}};
  if (scaling.kind == RopeScaling::Kind::kLinear)
    return {{"rope_type", "linear"}, {"factor", scaling.factor}};
  return {{"rope_type", "llama3"},
          {"factor", scaling.factor},
          {"low_freq_factor", scaling.low_freq_factor},
          {"high_freq_factor", scaling.high_freq_factor},
          {"original_max_position_embeddings", scaling.original_max_position_embeddings}};
}

void add_window(const LlamaConfig& config, json& object) {
  if (config.variant == LlamaVariant::kMistral)
    object["sliding_window"] =
        config.sliding_window > 0 ? json(config.sliding_window) : json(nullptr);
  if (config.variant != LlamaVariant::kQwen2 && config.variant != LlamaVariant::kQwen3) return;
  object["use_sliding_window"] = config.sliding_window > 0;
  if (config.sliding_window == 0) return;
  object["sliding_window"] = config.sliding_window;
  std::int64_t first = 0;
  json types = json::array();
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const bool slides = config.window_of_layer(i) > 0;
    types.push_back(slides ? "sliding_attention" : "full_attention");
    if (!slides) first = i + 1;
  }
  object["layer_types"] = types;
  object["max_window_layers"] = first;
}

}  // namespace

void LlamaConfig::read(const ConfigFile& file) {
  const bool gemma = variant == LlamaVariant::kGemma;
  if (gemma) {
    // "gelu" is what the first files said, and never meant.
    for (const char* key : {"hidden_act", "hidden_activation"})
      file.expect_text(key, {"gelu_pytorch_tanh", "gelu"});
    file.expect_flag("use_bidirectional_attention", false);
  } else {
    file.expect_text("hidden_act", {"silu"});
  }
  file.expect_flag("mlp_bias", false);
  read_common(file, *this, /*tied=*/gemma);
  vocab_size = file.size("vocab_size");
  hidden_size = file.size("hidden_size");
  intermediate_size = file.size("intermediate_size");
  num_hidden_layers = file.size("num_hidden_layers");
  num_attention_heads = file.size("num_attention_heads");
  num_key_value_heads = file.integer("num_key_value_heads", num_attention_heads);
  head_dim = file.integer("head_dim", 0);
  if (head_dim == 0 && variant == LlamaVariant::kQwen3) head_dim = 128;
  if (head_dim == 0 && gemma) head_dim = 256;
  max_position_embeddings = file.integer("max_position_embeddings", gemma ? 8192 : 2048);
  rms_norm_eps = file.number("rms_norm_eps", 1e-6);
  if (can_have_attention_bias()) attention_bias = file.flag("attention_bias", false);
  read_rope(file, *this);
  read_window(file, *this);
}

std::string LlamaConfig::to_json(Head head) const {
  json object = common_json(*this, head);
  json rope = rope_json(*this);
  if (rope_scaling.kind != RopeScaling::Kind::kDefault) object["rope_scaling"] = rope;
  rope["rope_theta"] = rope_theta;
  object.update(
      {{"architectures",
        {fmt::format("{}{}", names_of(variant).class_prefix, class_suffix(head, "ForCausalLM"))}},
       {"hidden_size", hidden_size},
       {"intermediate_size", intermediate_size},
       {"num_hidden_layers", num_hidden_layers},
       {"num_attention_heads", num_attention_heads},
       {"num_key_value_heads", num_key_value_heads},
       {"head_dim", resolved_head_dim()},
       {"max_position_embeddings", max_position_embeddings},
       {"rope_theta", rope_theta},
       {"rope_parameters", rope},
       {"rms_norm_eps", rms_norm_eps},
       {"hidden_act", variant == LlamaVariant::kGemma ? "gelu_pytorch_tanh" : "silu"}});
  if (variant == LlamaVariant::kLlama) object["mlp_bias"] = false;
  if (can_have_attention_bias()) object["attention_bias"] = attention_bias;
  add_window(*this, object);
  return runtime::json_text(object, 2) + "\n";
}

}  // namespace tandem::models
