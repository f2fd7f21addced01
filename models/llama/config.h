// The Llama family's sizes, named as in Hugging Face's config.json.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/fields.h"

namespace tandem::models {

struct LlamaConfig {
  std::int64_t vocab_size = 0;  // 0: taken from the tokenizer
  std::int64_t hidden_size = 256;
  std::int64_t intermediate_size = 768;
  std::int64_t num_hidden_layers = 4;
  std::int64_t num_attention_heads = 4;
  std::int64_t num_key_value_heads = 2;
  std::int64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  std::int64_t max_position_embeddings = 1024;
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-5;
  double initializer_range = 0.02;
  bool tie_word_embeddings = true;
  std::int64_t bos_token_id = -1;
  std::int64_t eos_token_id = -1;
  std::int64_t pad_token_id = -1;

  std::int64_t resolved_head_dim() const {
    return head_dim > 0 ? head_dim : hidden_size / num_attention_heads;
  }
  void visit_fields(runtime::FieldVisitor& v);
};

// Throws Error naming the first size that contradicts another, or that `tensor_parallel` does not
// divide.
void validate(const LlamaConfig& config, std::int64_t tensor_parallel);

// Reads config.json as written by transformers 4 (rope_theta, torch_dtype) or 5 (rope_parameters,
// dtype). Throws Error naming the file and the key for another architecture or a feature that is
// not supported.
LlamaConfig read_llama_config(const std::string& path);
// config.json in the form that both versions read. scalar_head: LlamaForSequenceClassification with
// one label.
std::string to_config_json(const LlamaConfig& config, bool scalar_head, const std::string& dtype);

}  // namespace tandem::models
