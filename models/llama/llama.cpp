#include "models/llama/llama.h"

#include <cmath>

#include "models/transformer.h"
#include "runtime/autograd/ops/elementwise.h"

namespace tandem::models {

using parallel::TensorParallel;
using runtime::Tensor;

namespace {

// √n as a number of the type that embeddings have, as in transformers.
float root_in(std::int64_t n, runtime::DType dtype) {
  const std::vector<float> root = {std::sqrt(static_cast<float>(n))};
  return Tensor::from(root, {1}).to(dtype).to(runtime::DType::kF32).to_vector<float>()[0];
}

class Llama final : public Transformer {
 public:
  Llama(const LlamaConfig& config, const BuildOptions& options)
      : Transformer(config, options,
                    divided_heads(config.num_attention_heads, config.num_key_value_heads,
                                  config.resolved_head_dim(), options.tp),
                    "model.", {config.num_hidden_layers}),
        rope_(runtime::make_rope_table(config.max_position_embeddings, rope_frequencies(config),
                                       options.device)) {
    if (config.scales_embeddings())
      embedding_scale_ = root_in(config.hidden_size, options.precision.compute);
    declare_embedding("model.embed_tokens.weight");
    for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
      add_block(0,
                make_block(block_weights(0, i).at(fmt::format("model.layers.{}", i)), config, i));
    final_norm_ = Norm::rms(last_weights().at("model"), "norm", config.hidden_size,
                            config.rms_norm_eps, config.norm_offset());
    declare_head("lm_head.weight");
    allocate();
  }

 private:
  Tensor before_blocks(StackId, const TextInput& text, const TensorParallel& tp) override {
    const Tensor embedded = embed(text.tokens, tp);
    return embedding_scale_ == 1.0f ? embedded : runtime::scale(embedded, embedding_scale_);
  }
  Tensor after_blocks(StackId, const Tensor& h) override { return final_norm_(h); }

  Block make_block(const Weights& w, const LlamaConfig& c, std::int64_t index) {
    const std::int64_t h = c.hidden_size;
    Block block;
    block.attention_norm = Norm::rms(w, "input_layernorm", h, c.rms_norm_eps, c.norm_offset());
    block.attention = make_attention(w.at("self_attn"), c, c.window_of_layer(index));
    block.feed_forward_norm =
        Norm::rms(w, "post_attention_layernorm", h, c.rms_norm_eps, c.norm_offset());
    const Weights mlp = w.at("mlp");
    const std::int64_t inner = c.intermediate_size;
    block.feed_forward = {
        .up = mlp.column("gate_up", {{"gate_proj", inner}, {"up_proj", inner}}, h, false),
        .down = mlp.row("down_proj", h, inner, false),
        .activation = c.activation(),
        .gated = true};
    return block;
  }

  SelfAttention make_attention(const Weights& w, const LlamaConfig& c, std::int64_t window) {
    const std::int64_t dim = c.resolved_head_dim(), h = c.hidden_size;
    const std::int64_t q = c.num_attention_heads * dim, kv = c.num_key_value_heads * dim;
    SelfAttention attention{.qkv = w.column("qkv", {{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}},
                                            h, c.has_qkv_bias()),
                            .out = w.row("o_proj", h, q, c.attention_bias),
                            .heads = heads(),
                            .window = window,
                            .rope = &rope_};
    if (c.has_qk_norm()) {
      const Weights of_own_heads = w.with_partial_use(true);
      attention.q_norm = Norm::rms(of_own_heads, "q_norm", dim, c.rms_norm_eps);
      attention.k_norm = Norm::rms(of_own_heads, "k_norm", dim, c.rms_norm_eps);
    }
    return attention;
  }

  runtime::RopeTable rope_;
  float embedding_scale_ = 1.0f;
  Norm final_norm_;
};

}  // namespace

std::unique_ptr<Model> make_llama(const LlamaConfig& config, const BuildOptions& options) {
  config.validate(options.tp.size());
  return std::make_unique<Llama>(config, options);
}

}  // namespace tandem::models
