#include "models/bert/bert.h"

#include "models/config_file.h"
#include "models/transformer.h"
#include "runtime/autograd/ops/activation.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/io/json_text.h"

namespace tandem::models {

using nlohmann::json;
using parallel::TensorParallel;
using runtime::Tensor;

// ---- configuration

void BertConfig::visit_fields(runtime::FieldVisitor& v) {
  visit_sizes(v, *this);
  v.field({"type_vocab_size", "kinds of text that a token can belong to"}, type_vocab_size);
  v.field({"layer_norm_eps", "added to the variance before the root"}, layer_norm_eps);
}

void BertConfig::validate(std::int64_t tensor_parallel) const {
  require_sound_sizes(*this, tensor_parallel);
  require_positive("type_vocab_size", type_vocab_size);
  require_tied(*this);
}

void BertConfig::read(const ConfigFile& file) {
  read_common(file, *this, true);
  vocab_size = file.size("vocab_size");
  hidden_size = file.size("hidden_size");
  intermediate_size = file.size("intermediate_size");
  num_hidden_layers = file.size("num_hidden_layers");
  num_attention_heads = file.size("num_attention_heads");
  max_position_embeddings = file.size("max_position_embeddings");
  type_vocab_size = file.size("type_vocab_size");
  layer_norm_eps = file.number("layer_norm_eps", 1e-12);
  activation = read_activation(file, "hidden_act", "gelu");
  file.expect_text("position_embedding_type", {"absolute"});
  file.expect_flag("is_decoder", false);
  file.expect_flag("add_cross_attention", false);
}

std::string BertConfig::to_json(Head head) const {
  json object = common_json(*this, head);
  object.update({{"architectures", {fmt::format("Bert{}", class_suffix(head, "ForMaskedLM"))}},
                 {"hidden_size", hidden_size},
                 {"intermediate_size", intermediate_size},
                 {"num_hidden_layers", num_hidden_layers},
                 {"num_attention_heads", num_attention_heads},
                 {"max_position_embeddings", max_position_embeddings},
                 {"type_vocab_size", type_vocab_size},
                 {"layer_norm_eps", layer_norm_eps},
                 {"hidden_act", name_of(activation)},
                 // Tandem trains without dropout.
                 {"hidden_dropout_prob", 0.0},
                 {"attention_probs_dropout_prob", 0.0}});
  return runtime::json_text(object, 2) + "\n";
}

// ---- the model

namespace {

// What transformers' BertForMaskedLM has before the names of a BertModel.
constexpr std::string_view kBase = "bert.";

class Bert final : public Transformer {
 public:
  Bert(const BertConfig& config, const BuildOptions& options)
      : Transformer(config, options,
                    divided_heads(config.num_attention_heads, config.num_attention_heads,
                                  config.hidden_size / config.num_attention_heads, options.tp),
                    std::string(kBase), {config.num_hidden_layers}),
        activation_(config.activation) {
    const bool bare = options.head == Head::kHiddenStates;
    const auto in_model = [&](const Weights& weights) {
      return bare ? weights : weights.at("bert");
    };
    declare_embeddings(in_model(first_weights()).at("embeddings"), config);
    for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
      add_block(0, make_block(in_model(block_weights(0, i)).at(fmt::format("encoder.layer.{}", i)),
                              config));
    if (options.head == Head::kLanguageModel) {
      declare_masked_head(last_weights().at("cls.predictions"), config);
    } else {
      // Embeddings are made without it: nothing trains it then.
      declare_pooler(in_model(last_weights()), config, /*trainable=*/!bare);
    }
    if (options.head == Head::kClassification)
      classifier_ = last_weights().with_partial_use(false).replicated(
          "classifier", labels().count(), config.hidden_size, true);
    allocate();
  }

  Tensor pooled(const Tensor& hidden) override {
    TANDEM_CHECK(pooler_.weight != nullptr, "a language model has no pooler");
    return runtime::tanh(replicated(pooler_, hidden));
  }

  Tensor label_scores(const Tensor& hidden) override {
    TANDEM_CHECK(classifier_.weight != nullptr, "this model has no scores of labels");
    return runtime::linear(pooled(hidden), *classifier_.weight, classifier_.bias,
                           runtime::DType::kF32);
  }

  // Files of a BertModel have no prefix, those of every other class do; the oldest call a norm's
  // parameters gamma and beta.
  std::vector<std::string> other_names(const std::string& name) const override {
    std::vector<std::string> names = {name.starts_with(kBase) ? name.substr(kBase.size())
                                                              : std::string(kBase) + name};
    for (const std::string& known : {name, names[0]})
      for (const auto& [now, then] :
           {std::pair<std::string_view, std::string_view>{"LayerNorm.weight", "LayerNorm.gamma"},
            {"LayerNorm.bias", "LayerNorm.beta"}})
        if (known.ends_with(now))
          names.push_back(known.substr(0, known.size() - now.size()) + std::string(then));
    return names;
  }
  bool may_be_missing(const std::string& name) const override {
    return name.starts_with("pooler.") || name.starts_with("bert.pooler.") ||
           name.starts_with("classifier.");
  }

 private:
  Tensor before_blocks(StackId, const TextInput& text, const TensorParallel& tp) override {
    const Tensor types =
        text.token_types.defined()
            ? text.token_types
            : Tensor::zeros(text.tokens.shape(), text.tokens.dtype(), text.tokens.device());
    const Tensor placed =
        runtime::add(embed(text.tokens, tp),
                     runtime::embedding(parallel::own_tokens(text.positions, tp), *positions_));
    return embedding_norm_.add(placed, runtime::embedding(parallel::own_tokens(types, tp), *types_))
        .normalized;
  }

  // With a language-model head, its transformation.
  Tensor after_blocks(StackId, const Tensor& h) override {
    if (transform_.weight == nullptr) return h;
    const Tensor x = replicated(transform_, h);
    return transform_norm_(activation_ == Activation::kRelu
                               ? runtime::relu(x)
                               : runtime::gelu(x, activation_ == Activation::kGeluTanh));
  }

  void declare_embeddings(const Weights& w, const BertConfig& c) {
    declare_embedding(w.full("word_embeddings.weight"));
    positions_ = w.table("position_embeddings", c.max_position_embeddings, c.hidden_size);
    types_ = w.table("token_type_embeddings", c.type_vocab_size, c.hidden_size);
    embedding_norm_ = Norm::layer(w, "LayerNorm", c.hidden_size, c.layer_norm_eps);
  }

  Block make_block(const Weights& w, const BertConfig& c) {
    const std::int64_t h = c.hidden_size, inner = c.intermediate_size;
    Block block;
    block.norm_first = false;
    block.attention = {
        .qkv =
            w.at("attention.self").column("qkv", {{"query", h}, {"key", h}, {"value", h}}, h, true),
        .out = w.at("attention.output").row("dense", h, h, true),
        .heads = heads(),
        .causal = false};
    block.attention_norm = Norm::layer(w, "attention.output.LayerNorm", h, c.layer_norm_eps);
    block.feed_forward = {.up = w.at("intermediate").column("dense", {{"dense", inner}}, h, true),
                          .down = w.at("output").row("dense", h, inner, true),
                          .activation = c.activation};
    block.feed_forward_norm = Norm::layer(w, "output.LayerNorm", h, c.layer_norm_eps);
    return block;
  }

  void declare_pooler(const Weights& w, const BertConfig& c, bool trainable) {
    const std::int64_t h = c.hidden_size;
    parallel::ParameterOptions matrix = w.matrix_options(), vector = w.bias_options();
    for (parallel::ParameterOptions* options : {&matrix, &vector}) {
      options->trainable = trainable;
      options->decay = options->decay && trainable;
    }
    const std::string weight = "pooler.dense.weight", bias = "pooler.dense.bias";
    pooler_ = {w.add(weight, {.pieces = {{w.full(weight), {h, h}}}}, matrix),
               w.add(bias, {.pieces = {{w.full(bias), {h}}}}, vector)};
  }

  void declare_masked_head(const Weights& w, const BertConfig& c) {
    transform_ = w.at("transform").replicated("dense", c.hidden_size, c.hidden_size, true);
    transform_norm_ = Norm::layer(w, "transform.LayerNorm", c.hidden_size, c.layer_norm_eps);
    declare_head("");
    set_vocab_bias(w.add("bias", vocabulary().vector(w.full("bias")), w.bias_options()));
  }

  Activation activation_;
  runtime::Leaf* positions_ = nullptr;
  runtime::Leaf* types_ = nullptr;
  Norm embedding_norm_;
  Linear transform_;  // of the language-model head
  Norm transform_norm_;
  Linear pooler_;      // of heads on whole texts
  Linear classifier_;  // with Head::kClassification
};

}  // namespace

std::unique_ptr<Model> BertConfig::make(const BuildOptions& options) const {
  validate(options.tp.size());
  refuse_scalar_head(*this, options);
  return std::make_unique<Bert>(*this, options);
}

}  // namespace tandem::models
