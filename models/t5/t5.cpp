#include "models/t5/t5.h"

#include <algorithm>
#include <cmath>

#include "models/config_file.h"
#include "models/transformer.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/io/json_text.h"

namespace tandem::models {

using nlohmann::json;
using parallel::TensorParallel;
using runtime::Tensor;
using runtime::throw_error;

// ---- configuration

T5Config::T5Config() {
  intermediate_size = 1024;
  max_position_embeddings = 1 << 30;  // distances have no limit
  initializer_range = 1.0;            // a factor
}

void T5Config::visit_fields(runtime::FieldVisitor& v) {
  v.field({"vocab_size", "rows of the embedding; 0 takes the tokenizer's size", "tokens"},
          vocab_size);
  v.field({"hidden_size", "width of the residual stream"}, hidden_size);
  v.field({"intermediate_size", "width of the gated feed-forward layer"}, intermediate_size);
  v.field({"num_hidden_layers", "transformer blocks of the encoder"}, num_hidden_layers);
  v.field({"num_decoder_layers", "transformer blocks of the decoder"}, num_decoder_layers);
  v.field({"num_attention_heads", "heads per block"}, num_attention_heads);
  v.field({"head_dim", "width of one head"}, head_dim);
  v.field({"relative_attention_num_buckets", "kinds of distance between a query and a key"},
          relative_attention_num_buckets);
  v.field({"relative_attention_max_distance", "distance from which on all are one kind", "tokens"},
          relative_attention_max_distance);
  v.field({"layer_norm_epsilon", "added to the mean square before the root"}, layer_norm_epsilon);
  v.field({"initializer_factor", "multiplies the standard deviations of initial weights"},
          initializer_range);
  v.field({"tie_word_embeddings", "use the embedding as output matrix too"}, tie_word_embeddings);
}

void T5Config::set_special_tokens(std::int64_t bos, std::int64_t eos, std::int64_t pad) {
  FamilyConfig::set_special_tokens(bos, eos, pad);
  if (pad >= 0) decoder_start_token_id = pad;
}

void T5Config::validate(std::int64_t tensor_parallel) const {
  require_positive("hidden_size", hidden_size);
  require_positive("intermediate_size", intermediate_size);
  require_positive("num_hidden_layers", num_hidden_layers);
  require_positive("num_decoder_layers", num_decoder_layers);
  require_positive("num_attention_heads", num_attention_heads);
  require_positive("head_dim", head_dim);
  if (relative_attention_num_buckets < 4)
    throw_error("model.relative_attention_num_buckets must be at least 4, got {}",
                relative_attention_num_buckets);
  if (relative_attention_max_distance <= relative_attention_num_buckets / 2)
    throw_error(
        "model.relative_attention_max_distance {} must be more than half of "
        "relative_attention_num_buckets {}",
        relative_attention_max_distance, relative_attention_num_buckets);
  require_divisible("num_attention_heads", num_attention_heads, tensor_parallel);
  require_divisible("intermediate_size", intermediate_size, tensor_parallel);
}

namespace {

// "relu", "gated-gelu": transformers means gelu_new by the latter.
void read_feed_forward(const ConfigFile& file, T5Config& config) {
  const std::string text = file.text("feed_forward_proj", "relu");
  config.gated = text.starts_with("gated-");
  if (text == "relu") {
    config.activation = Activation::kRelu;
  } else if (text == "gelu") {
    config.activation = Activation::kGelu;
  } else if (text == "gelu_new" || text == "gated-gelu" || text == "gated-gelu_new") {
    config.activation = Activation::kGeluTanh;
  } else if (text == "gated-silu") {
    config.activation = Activation::kSilu;
  } else {
    file.refuse("feed_forward_proj",
                "is '{}', which is not supported; known: relu, gelu, gelu_new, gated-gelu, "
                "gated-silu",
                text);
  }
}

std::string feed_forward_text(const T5Config& config) {
  if (config.gated && config.activation == Activation::kGeluTanh) return "gated-gelu";
  return fmt::format("{}{}", config.gated ? "gated-" : "", name_of(config.activation));
}

}  // namespace

void T5Config::read(const ConfigFile& file) {
  read_common(file, *this, true);
  initializer_range = file.number("initializer_factor", 1.0);
  vocab_size = file.size("vocab_size");
  hidden_size = file.size("d_model");
  intermediate_size = file.size("d_ff");
  num_hidden_layers = file.size("num_layers");
  num_decoder_layers = file.integer("num_decoder_layers", num_hidden_layers);
  num_attention_heads = file.size("num_heads");
  head_dim = file.size("d_kv");
  relative_attention_num_buckets = file.integer("relative_attention_num_buckets", 32);
  relative_attention_max_distance = file.integer("relative_attention_max_distance", 128);
  layer_norm_epsilon = file.number("layer_norm_epsilon", 1e-6);
  read_feed_forward(file, *this);
  // transformers 5 calls every T5 tied, and says by this key which one is not.
  tie_word_embeddings = tie_word_embeddings && file.flag("scale_decoder_outputs", true);
  decoder_start_token_id = file.token_id("decoder_start_token_id");
  if (decoder_start_token_id < 0) decoder_start_token_id = std::max<std::int64_t>(0, pad_token_id);
}

std::string T5Config::to_json(Head head) const {
  json object = common_json(*this, head);
  object.erase("initializer_range");
  object.update({{"architectures", {"T5ForConditionalGeneration"}},
                 {"d_model", hidden_size},
                 {"d_ff", intermediate_size},
                 {"d_kv", head_dim},
                 {"num_layers", num_hidden_layers},
                 {"num_decoder_layers", num_decoder_layers},
                 {"num_heads", num_attention_heads},
                 {"relative_attention_num_buckets", relative_attention_num_buckets},
                 {"relative_attention_max_distance", relative_attention_max_distance},
                 {"layer_norm_epsilon", layer_norm_epsilon},
                 {"initializer_factor", initializer_range},
                 {"feed_forward_proj", feed_forward_text(*this)},
                 {"scale_decoder_outputs", tie_word_embeddings},
                 {"decoder_start_token_id", decoder_start_token_id},
                 {"is_encoder_decoder", true},
                 {"dropout_rate", 0.0}});  // Tandem trains without dropout
  return runtime::json_text(object, 2) + "\n";
}

// ---- relative positions

std::int32_t relative_position_bucket(std::int64_t distance, bool bidirectional,
                                      std::int64_t buckets, std::int64_t max_distance) {
  std::int64_t first = 0;
  if (bidirectional) {
    buckets /= 2;
    if (distance < 0) first = buckets;
    distance = std::abs(distance);
  } else {
    distance = std::max<std::int64_t>(0, distance);
  }
  const std::int64_t exact = buckets / 2;
  if (distance < exact) return static_cast<std::int32_t>(first + distance);
  // In fp32, as transformers does: a distance may fall on a border.
  const float position =
      std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto grown =
      exact + static_cast<std::int64_t>(position * static_cast<float>(buckets - exact));
  return static_cast<std::int32_t>(first + std::min(grown, buckets - 1));
}

namespace {

// The biases of one stack: a table [buckets, heads], divided over the ranks by heads.
class RelativeBias {
 public:
  RelativeBias() = default;
  RelativeBias(const Weights& w, const T5Config& c, bool bidirectional)
      : buckets_(c.relative_attention_num_buckets),
        max_distance_(c.relative_attention_max_distance),
        bidirectional_(bidirectional) {
    parallel::ParameterOptions options = w.matrix_options();
    options.keep_fp32 = true;
    table_ = w.add(
        "relative_attention_bias",
        {.dim = 1,
         .pieces = {{w.full("relative_attention_bias.weight"), {buckets_, c.num_attention_heads}}}},
        options);
  }

  // Biases of all distances of texts up to `length`.
  void add_to(Pass& pass, std::int64_t length, runtime::Device device) const {
    std::vector<std::int32_t> rows;
    for (std::int64_t distance = 1 - length; distance < length; ++distance)
      rows.push_back(relative_position_bucket(distance, bidirectional_, buckets_, max_distance_));
    pass.distance_bias = runtime::embedding(
        Tensor::from(rows, {static_cast<std::int64_t>(rows.size())}, device), *table_);
    pass.bias_zero = length - 1;
  }

 private:
  std::int64_t buckets_ = 0, max_distance_ = 0;
  bool bidirectional_ = false;
  runtime::Leaf* table_ = nullptr;
};

// The longest text that a pass sees.
std::int64_t longest(const Pass& pass) {
  if (pass.context != nullptr) return pass.context->longest();
  std::int64_t length = 1;
  if (pass.cache != nullptr && pass.cache->decode) {
    for (const std::int32_t position : pass.cache->positions)
      length = std::max<std::int64_t>(length, position + 1);
    return length;
  }
  for (std::size_t i = 0; i + 1 < pass.cu_seqlens.size(); ++i)
    length = std::max<std::int64_t>(length, pass.cu_seqlens[i + 1] - pass.cu_seqlens[i]);
  return length;
}

// ---- the model

class T5 final : public Transformer {
 public:
  T5(const T5Config& config, const BuildOptions& options)
      : Transformer(config, options,
                    divided_heads(config.num_attention_heads, config.num_attention_heads,
                                  config.head_dim, options.tp),
                    "", {config.num_hidden_layers, config.num_decoder_layers}),
        config_(config) {
    declare_embedding("shared.weight");
    make_side(kEncoder, "encoder", config.num_hidden_layers);
    make_side(kDecoder, "decoder", config.num_decoder_layers);
    declare_head("lm_head.weight");
    allocate();
  }

  std::int32_t decoder_start_token() const override {
    return static_cast<std::int32_t>(config_.decoder_start_token_id);
  }
  // A file may have the embedding as either side's, or only a tied one.
  std::vector<std::string> other_names(const std::string& name) const override {
    if (name == "shared.weight")
      return {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"};
    if (name == "lm_head.weight") return {"shared.weight"};
    return {};
  }

 private:
  static constexpr StackId kEncoder = 0, kDecoder = 1;

  // Of an encoder or a decoder.
  struct Side {
    RelativeBias bias;
    Norm final_norm;
  };

  Tensor before_blocks(StackId, const TextInput& text, const TensorParallel& tp) override {
    return embed(text.tokens, tp);
  }
  void prepare(StackId stack, Pass& pass) override {
    sides_[stack].bias.add_to(pass, longest(pass), options().device);
  }
  Tensor after_blocks(StackId stack, const Tensor& h) override {
    const Tensor normalized = sides_[stack].final_norm(h);
    if (stack == kEncoder || !config_.tie_word_embeddings) return normalized;
    return runtime::scale(normalized, 1.0f / std::sqrt(static_cast<float>(config_.hidden_size)));
  }

  void make_side(StackId stack, const std::string& name, std::int64_t layers) {
    const bool decoder = stack == kDecoder;
    // Files have the biases, which all blocks use, with the first one.
    sides_[stack].bias = RelativeBias(stack_weights(stack)
                                          .at(name + ".block.0.layer.0.SelfAttention")
                                          .with_std(config_.initializer_range * width_std()),
                                      config_, !decoder);
    for (std::int64_t i = 0; i < layers; ++i)
      add_block(stack,
                make_block(block_weights(stack, i).at(fmt::format("{}.block.{}.layer", name, i)),
                           decoder));
    sides_[stack].final_norm = Norm::rms(last_weights(stack).at(name), "final_layer_norm",
                                         config_.hidden_size, config_.layer_norm_epsilon);
  }

  double width_std() const { return 1.0 / std::sqrt(static_cast<double>(config_.hidden_size)); }

  Block make_block(const Weights& w, bool decoder) {
    const T5Config& c = config_;
    const std::int64_t h = c.hidden_size, inner = c.num_attention_heads * c.head_dim;
    const double factor = c.initializer_range;
    const double out_std = factor / std::sqrt(static_cast<double>(inner));
    const auto norm = [&](int layer) {
      return Norm::rms(w, fmt::format("{}.layer_norm", layer), h, c.layer_norm_epsilon);
    };
    // Queries start smaller by what other models divide scores by.
    const auto query_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
    const Weights self = w.at("0.SelfAttention").with_std(factor * width_std());
    Block block;
    block.attention_norm = norm(0);
    block.attention = {
        .qkv = self.with_scales({query_scale, 1.0f, 1.0f})
                   .column("qkv", {{"q", inner}, {"k", inner}, {"v", inner}}, h, false),
        .out = self.with_std(out_std).row("o", h, inner, false),
        .heads = heads(),
        .causal = decoder,
        .scale = 1.0f};
    if (decoder) {
      const Weights cross = w.at("1.EncDecAttention").with_std(factor * width_std());
      block.cross_norm = norm(1);
      block.cross = CrossAttention{
          .q = cross.with_scales({query_scale}).column("q", {{"q", inner}}, h, false),
          .kv = cross.column("kv", {{"k", inner}, {"v", inner}}, h, false),
          .out = cross.with_std(out_std).row("o", h, inner, false),
          .heads = heads(),
          .scale = 1.0f};
    }
    const int last = decoder ? 2 : 1;
    block.feed_forward_norm = norm(last);
    block.feed_forward = make_feed_forward(w.at(fmt::format("{}.DenseReluDense", last)));
    return block;
  }

  FeedForward make_feed_forward(const Weights& w) {
    const std::int64_t h = config_.hidden_size, inner = config_.intermediate_size;
    const double factor = config_.initializer_range;
    const std::vector<OutputRows> up =
        config_.gated ? std::vector<OutputRows>{{"wi_0", inner}, {"wi_1", inner}}
                      : std::vector<OutputRows>{{"wi", inner}};
    return {
        .up = w.with_std(factor * width_std()).column("wi", up, h, false),
        .down =
            w.with_std(factor / std::sqrt(static_cast<double>(inner))).row("wo", h, inner, false),
        .activation = config_.activation,
        .gated = config_.gated};
  }

  T5Config config_;
  Side sides_[2];
};

}  // namespace

std::unique_ptr<Model> T5Config::make(const BuildOptions& options) const {
  validate(options.tp.size());
  refuse_text_heads(*this, options);
  refuse_scalar_head(*this, options);
  return std::make_unique<T5>(*this, options);
}

}  // namespace tandem::models
