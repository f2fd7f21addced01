// The Llama family's sizes, named as in Hugging Face's config.json. Mistral, Qwen2, Qwen3 and Gemma
// are Llama with a few differences, which are fields and questions here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/family.h"
#include "models/layers/feed_forward.h"

namespace tandem::models {

enum class LlamaVariant { kLlama, kMistral, kQwen2, kQwen3, kGemma };

// How rotary frequencies are stretched beyond the context that a model was trained on.
struct RopeScaling {
  enum class Kind { kDefault, kLinear, kLlama3 };
  Kind kind = Kind::kDefault;
  double factor = 1.0;
  // Llama 3 only: long wavelengths are stretched, short ones kept, those between interpolated.
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  std::int64_t original_max_position_embeddings = 8192;
};

struct LlamaConfig final : FamilyConfig {
  LlamaVariant variant = LlamaVariant::kLlama;
  std::int64_t num_key_value_heads = 2;
  std::int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-5;
  // > 0: where a layer's window is on, a query sees this many keys, its own included.
  std::int64_t sliding_window = 0;
  // Whether the window is on, per layer; empty: on all layers.
  std::vector<bool> sliding_layers;
  bool attention_bias = false;  // Qwen2 has it on q, k, v always, and never on the output
  bool can_have_attention_bias() const {
    return variant != LlamaVariant::kMistral && variant != LlamaVariant::kQwen2;
  }

  std::int64_t resolved_head_dim() const {
    return head_dim > 0 ? head_dim : hidden_size / num_attention_heads;
  }
  bool has_qkv_bias() const { return attention_bias || variant == LlamaVariant::kQwen2; }
  bool has_qk_norm() const { return variant == LlamaVariant::kQwen3; }
  // Embeddings come in multiplied by the root of hidden_size.
  bool scales_embeddings() const { return variant == LlamaVariant::kGemma; }
  // Gemma's norms multiply by 1 + weight.
  float norm_offset() const { return variant == LlamaVariant::kGemma ? 1.0f : 0.0f; }
  // Of the gate: the logistic one (SiLU), or Gemma's GELU in its approximation by tanh.
  Activation activation() const {
    return variant == LlamaVariant::kGemma ? Activation::kGeluTanh : Activation::kSilu;
  }
  // 0: no window.
  std::int64_t window_of_layer(std::int64_t layer) const;

  std::string_view model_type() const override;
  ModelKind kind() const override { return ModelKind::kDecoder; }
  TextObjective text_objective() const override { return TextObjective::kCausal; }
  std::unique_ptr<FamilyConfig> clone() const override {
    return std::make_unique<LlamaConfig>(*this);
  }
  void visit_fields(runtime::FieldVisitor& v) override;
  void validate(std::int64_t tensor_parallel) const override;
  void read(const ConfigFile& file) override;
  std::string to_json(Head head) const override;
  std::unique_ptr<Model> make(const BuildOptions& options) const override;
};

// The angle that each pair of a head's columns advances per position, [head_dim / 2].
std::vector<double> rope_frequencies(const LlamaConfig& config);

}  // namespace tandem::models
