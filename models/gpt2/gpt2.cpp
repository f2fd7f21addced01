#include "models/gpt2/gpt2.h"

#include <cmath>

#include "models/config_file.h"
#include "models/transformer.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/io/json_text.h"

namespace tandem::models {

using nlohmann::json;
using parallel::TensorParallel;
using runtime::Tensor;

// ---- configuration

void Gpt2Config::visit_fields(runtime::FieldVisitor& v) {
  visit_sizes(v, *this);
  v.field({"layer_norm_epsilon", "added to the variance before the root"}, layer_norm_epsilon);
}

void Gpt2Config::validate(std::int64_t tensor_parallel) const {
  require_sound_sizes(*this, tensor_parallel);
}

void Gpt2Config::read(const ConfigFile& file) {
  read_common(file, *this, true);
  vocab_size = file.size("vocab_size");
  hidden_size = file.size("n_embd");
  intermediate_size = file.has("n_inner") ? file.size("n_inner") : 4 * hidden_size;
  num_hidden_layers = file.size("n_layer");
  num_attention_heads = file.size("n_head");
  max_position_embeddings = file.size("n_positions");
  layer_norm_epsilon = file.number("layer_norm_epsilon", 1e-5);
  activation = read_activation(file, "activation_function", "gelu_new");
  file.expect_flag("scale_attn_weights", true);
  file.expect_flag("scale_attn_by_inverse_layer_idx", false);
  file.expect_flag("add_cross_attention", false);
}

std::string Gpt2Config::to_json(Head head) const {
  json object = common_json(*this, head);
  object.update({{"architectures", {fmt::format("GPT2{}", class_suffix(head, "LMHeadModel"))}},
                 {"n_embd", hidden_size},
                 {"n_inner", intermediate_size},
                 {"n_layer", num_hidden_layers},
                 {"n_head", num_attention_heads},
                 {"n_positions", max_position_embeddings},
                 {"n_ctx", max_position_embeddings},
                 {"layer_norm_epsilon", layer_norm_epsilon},
                 {"activation_function", name_of(activation)},
                 // Tandem trains without dropout.
                 {"resid_pdrop", 0.0},
                 {"embd_pdrop", 0.0},
                 {"attn_pdrop", 0.0}});
  return runtime::json_text(object, 2) + "\n";
}

// ---- the model

namespace {

class Gpt2 final : public Transformer {
 public:
  Gpt2(const Gpt2Config& config, const BuildOptions& options)
      : Transformer(config, options,
                    divided_heads(config.num_attention_heads, config.num_attention_heads,
                                  config.hidden_size / config.num_attention_heads, options.tp),
                    "transformer.", {config.num_hidden_layers}) {
    declare_embedding("transformer.wte.weight");
    positions_ = first_weights()
                     .at("transformer")
                     .table("wpe", config.max_position_embeddings, config.hidden_size);
    for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
      add_block(0, make_block(block_weights(0, i).at(fmt::format("transformer.h.{}", i)), config));
    final_norm_ = Norm::layer(last_weights().at("transformer"), "ln_f", config.hidden_size,
                              config.layer_norm_epsilon);
    declare_head("lm_head.weight");
    allocate();
  }

 private:
  Tensor before_blocks(StackId, const TextInput& text, const TensorParallel& tp) override {
    return runtime::add(embed(text.tokens, tp),
                        runtime::embedding(parallel::own_tokens(text.positions, tp), *positions_));
  }
  Tensor after_blocks(StackId, const Tensor& h) override { return final_norm_(h); }

  Block make_block(const Weights& outer, const Gpt2Config& c) {
    const std::int64_t h = c.hidden_size, inner = c.intermediate_size;
    const Weights w = outer.with_transposed_matrices();
    // What is added to the residual stream starts smaller the more layers add to it.
    const double residual_std =
        c.initializer_range / std::sqrt(2.0 * static_cast<double>(c.num_hidden_layers));
    const Weights attention = w.at("attn"), mlp = w.at("mlp");
    Block block;
    block.attention_norm = Norm::layer(w, "ln_1", h, c.layer_norm_epsilon);
    block.attention = {
        .qkv = attention.column("c_attn", {{"c_attn", h}, {"c_attn", h}, {"c_attn", h}}, h, true),
        .out = attention.with_std(residual_std).row("c_proj", h, h, true),
        .heads = heads()};
    block.feed_forward_norm = Norm::layer(w, "ln_2", h, c.layer_norm_epsilon);
    block.feed_forward = {.up = mlp.column("c_fc", {{"c_fc", inner}}, h, true),
                          .down = mlp.with_std(residual_std).row("c_proj", h, inner, true),
                          .activation = c.activation};
    return block;
  }

  runtime::Leaf* positions_;
  Norm final_norm_;
};

}  // namespace

std::unique_ptr<Model> Gpt2Config::make(const BuildOptions& options) const {
  validate(options.tp.size());
  return std::make_unique<Gpt2>(*this, options);
}

}  // namespace tandem::models
