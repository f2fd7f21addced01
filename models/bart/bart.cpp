#include "models/bart/bart.h"

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

void BartConfig::visit_fields(runtime::FieldVisitor& v) {
  v.field({"vocab_size", "rows of the embedding; 0 takes the tokenizer's size", "tokens"},
          vocab_size);
  v.field({"hidden_size", "width of the residual stream"}, hidden_size);
  v.field({"intermediate_size", "width of the encoder's feed-forward layer"}, intermediate_size);
  v.field({"decoder_intermediate_size", "width of the decoder's feed-forward layer"},
          decoder_intermediate_size);
  v.field({"num_hidden_layers", "transformer blocks of the encoder"}, num_hidden_layers);
  v.field({"num_decoder_layers", "transformer blocks of the decoder"}, num_decoder_layers);
  v.field({"num_attention_heads", "heads per block"}, num_attention_heads);
  v.field({"max_position_embeddings", "longest sequence the model can read", "tokens"},
          max_position_embeddings);
  v.field({"scale_embedding", "multiply embeddings by the root of hidden_size"}, scale_embedding);
  v.field({"initializer_range", "standard deviation of initial weights"}, initializer_range);
}

void BartConfig::set_special_tokens(std::int64_t bos, std::int64_t eos, std::int64_t pad) {
  FamilyConfig::set_special_tokens(bos, eos, pad);
  if (eos >= 0) decoder_start_token_id = eos;
}

void BartConfig::validate(std::int64_t tensor_parallel) const {
  require_sound_sizes(*this, tensor_parallel);
  require_positive("decoder_intermediate_size", decoder_intermediate_size);
  require_positive("num_decoder_layers", num_decoder_layers);
  require_divisible("decoder_intermediate_size", decoder_intermediate_size, tensor_parallel);
  require_tied(*this);
}

void BartConfig::read(const ConfigFile& file) {
  read_common(file, *this, true);
  initializer_range = file.number("init_std", 0.02);
  vocab_size = file.size("vocab_size");
  hidden_size = file.size("d_model");
  intermediate_size = file.size("encoder_ffn_dim");
  decoder_intermediate_size = file.size("decoder_ffn_dim");
  num_hidden_layers = file.size("encoder_layers");
  num_decoder_layers = file.size("decoder_layers");
  num_attention_heads = file.size("encoder_attention_heads");
  if (file.size("decoder_attention_heads") != num_attention_heads)
    file.refuse("decoder_attention_heads",
                "is {}, not encoder_attention_heads {}; unequal heads are not supported",
                file.size("decoder_attention_heads"), num_attention_heads);
  max_position_embeddings = file.size("max_position_embeddings");
  scale_embedding = file.flag("scale_embedding", false);
  activation = read_activation(file, "activation_function", "gelu");
  // Early files name variants that no later one has.
  file.expect_flag("normalize_before", false);
  file.expect_flag("add_final_layer_norm", false);
  file.expect_flag("static_position_embeddings", false);
  decoder_start_token_id = file.token_id("decoder_start_token_id");
  if (decoder_start_token_id < 0) decoder_start_token_id = eos_token_id < 0 ? 2 : eos_token_id;
}

std::string BartConfig::to_json(Head head) const {
  json object = common_json(*this, head);
  object.erase("initializer_range");
  object.update({{"architectures", {"BartForConditionalGeneration"}},
                 {"d_model", hidden_size},
                 {"encoder_ffn_dim", intermediate_size},
                 {"decoder_ffn_dim", decoder_intermediate_size},
                 {"encoder_layers", num_hidden_layers},
                 {"decoder_layers", num_decoder_layers},
                 {"encoder_attention_heads", num_attention_heads},
                 {"decoder_attention_heads", num_attention_heads},
                 {"max_position_embeddings", max_position_embeddings},
                 {"scale_embedding", scale_embedding},
                 {"activation_function", name_of(activation)},
                 {"init_std", initializer_range},
                 {"decoder_start_token_id", decoder_start_token_id},
                 {"forced_eos_token_id", nullptr},
                 {"is_encoder_decoder", true},
                 // Tandem trains without dropout.
                 {"dropout", 0.0},
                 {"attention_dropout", 0.0},
                 {"activation_dropout", 0.0}});
  return runtime::json_text(object, 2) + "\n";
}

// ---- the model

namespace {

// The table of positions has two rows before position 0 that nothing reads.
constexpr std::int64_t kPositionOffset = 2;
constexpr double kEps = 1e-5;

class Bart final : public Transformer {
 public:
  Bart(const BartConfig& config, const BuildOptions& options)
      : Transformer(config, options,
                    divided_heads(config.num_attention_heads, config.num_attention_heads,
                                  config.hidden_size / config.num_attention_heads, options.tp),
                    "model.", {config.num_hidden_layers, config.num_decoder_layers}),
        config_(config) {
    declare_embedding("model.shared.weight");
    make_side(kEncoder, "model.encoder", config.num_hidden_layers);
    make_side(kDecoder, "model.decoder", config.num_decoder_layers);
    declare_head("");
    const Weights last = last_weights(kDecoder);
    parallel::ParameterOptions constant = last.bias_options();
    constant.trainable = false;
    set_vocab_bias(
        last.add("final_logits_bias", vocabulary().row_vector("final_logits_bias"), constant));
    allocate();
  }

  std::int32_t decoder_start_token() const override {
    return static_cast<std::int32_t>(config_.decoder_start_token_id);
  }
  std::vector<std::string> other_names(const std::string& name) const override {
    std::vector<std::string> names = Transformer::other_names(name);
    if (name == "model.shared.weight")
      for (const char* side : {"model.encoder", "model.decoder", "encoder", "decoder"})
        names.push_back(fmt::format("{}.embed_tokens.weight", side));
    return names;
  }
  bool may_be_missing(const std::string& name) const override {
    return name == "final_logits_bias";  // then zeros
  }

 private:
  static constexpr StackId kEncoder = 0, kDecoder = 1;

  // Of an encoder or a decoder.
  struct Side {
    runtime::Leaf* positions = nullptr;
    Norm embedding_norm;
  };

  Tensor before_blocks(StackId stack, const TextInput& text, const TensorParallel& tp) override {
    const Side& side = sides_[stack];
    Tensor words = embed(text.tokens, tp);
    if (config_.scale_embedding)
      words = runtime::scale(words, std::sqrt(static_cast<float>(config_.hidden_size)));
    const Tensor places = runtime::embedding(parallel::own_tokens(text.positions, tp),
                                             *side.positions, -kPositionOffset);
    return side.embedding_norm.add(words, places).normalized;
  }
  Tensor after_blocks(StackId, const Tensor& h) override { return h; }

  void make_side(StackId stack, const std::string& name, std::int64_t layers) {
    const std::int64_t h = config_.hidden_size;
    const Weights first = first_weights(stack).at(name);
    sides_[stack].positions =
        first.table("embed_positions", config_.max_position_embeddings + kPositionOffset, h);
    sides_[stack].embedding_norm = Norm::layer(first, "layernorm_embedding", h, kEps);
    for (std::int64_t i = 0; i < layers; ++i)
      add_block(stack, make_block(block_weights(stack, i).at(fmt::format("{}.layers.{}", name, i)),
                                  stack == kDecoder));
  }

  Block make_block(const Weights& w, bool decoder) {
    const std::int64_t h = config_.hidden_size;
    const std::int64_t inner =
        decoder ? config_.decoder_intermediate_size : config_.intermediate_size;
    const Weights self = w.at("self_attn");
    Block block;
    block.norm_first = false;
    block.attention = {
        .qkv = self.column("qkv", {{"q_proj", h}, {"k_proj", h}, {"v_proj", h}}, h, true),
        .out = self.row("out_proj", h, h, true),
        .heads = heads(),
        .causal = decoder};
    block.attention_norm = Norm::layer(w, "self_attn_layer_norm", h, kEps);
    if (decoder) {
      const Weights cross = w.at("encoder_attn");
      block.cross =
          CrossAttention{.q = cross.column("q_proj", {{"q_proj", h}}, h, true),
                         .kv = cross.column("kv", {{"k_proj", h}, {"v_proj", h}}, h, true),
                         .out = cross.row("out_proj", h, h, true),
                         .heads = heads()};
      block.cross_norm = Norm::layer(w, "encoder_attn_layer_norm", h, kEps);
    }
    block.feed_forward = {.up = w.column("fc1", {{"fc1", inner}}, h, true),
                          .down = w.row("fc2", h, inner, true),
                          .activation = config_.activation};
    block.feed_forward_norm = Norm::layer(w, "final_layer_norm", h, kEps);
    return block;
  }

  BartConfig config_;
  Side sides_[2];
};

}  // namespace

std::unique_ptr<Model> BartConfig::make(const BuildOptions& options) const {
  validate(options.tp.size());
  refuse_text_heads(*this, options);
  refuse_scalar_head(*this, options);
  return std::make_unique<Bart>(*this, options);
}

}  // namespace tandem::models
