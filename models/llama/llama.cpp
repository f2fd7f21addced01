#include "models/llama/llama.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "parallel/ops/tensor_parallel.h"
#include "runtime/autograd/ops/attention.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/norm.h"

namespace tandem::models {

using parallel::Init;
using parallel::ParameterOptions;
using parallel::ParameterStore;
using parallel::ShardPiece;
using parallel::ShardSpec;
using runtime::Leaf;
using runtime::Shape;
using runtime::Tensor;

namespace {

// ---- weights: how each is named in Hugging Face files and divided over tensor-parallel ranks

struct BlockWeights {
  Leaf* input_norm;
  Leaf* qkv;  // q | k | v rows: column-parallel by heads
  Leaf* out;  // row-parallel
  Leaf* post_norm;
  Leaf* gate_up;  // gate | up rows: column-parallel
  Leaf* down;     // row-parallel
};

struct LlamaWeights {
  Leaf* embedding;
  std::vector<BlockWeights> blocks;
  Leaf* final_norm;
  Leaf* lm_head = nullptr;  // the embedding itself when tied
  Leaf* score = nullptr;
};

ParameterOptions norm_options() {
  return {.init = Init::constant(1.0f), .decay = false, .keep_fp32 = true};
}

std::int64_t padded_vocab(std::int64_t vocab, int ranks) {
  return (vocab + ranks - 1) / ranks * ranks;
}

BlockWeights declare_block(ParameterStore& store, const LlamaConfig& c, std::int64_t index) {
  const std::string prefix = fmt::format("model.layers.{}.", index);
  const ParameterOptions matrix{.init = Init::normal(static_cast<float>(c.initializer_range))};
  const std::int64_t q = c.num_attention_heads * c.resolved_head_dim();
  const std::int64_t kv = c.num_key_value_heads * c.resolved_head_dim();
  const std::int64_t h = c.hidden_size;
  const auto weight = [&](const std::string& name, Shape shape) {
    return ShardPiece{prefix + name + ".weight", shape};
  };
  const auto add = [&](const std::string& name, int dim, std::vector<ShardPiece> pieces,
                       const ParameterOptions& options) {
    return store.add(prefix + name, ShardSpec{.dim = dim, .pieces = std::move(pieces)}, options);
  };
  BlockWeights block{};
  block.input_norm = add("input_norm", -1, {weight("input_layernorm", {h})}, norm_options());
  block.qkv = add("qkv", 0,
                  {weight("self_attn.q_proj", {q, h}), weight("self_attn.k_proj", {kv, h}),
                   weight("self_attn.v_proj", {kv, h})},
                  matrix);
  block.out = add("attention_out", 1, {weight("self_attn.o_proj", {h, q})}, matrix);
  block.post_norm =
      add("post_attention_norm", -1, {weight("post_attention_layernorm", {h})}, norm_options());
  block.gate_up = add("gate_up", 0,
                      {weight("mlp.gate_proj", {c.intermediate_size, h}),
                       weight("mlp.up_proj", {c.intermediate_size, h})},
                      matrix);
  block.down = add("down", 1, {weight("mlp.down_proj", {h, c.intermediate_size})}, matrix);
  return block;
}

float scalar_head_std(const LlamaConfig& c, const BuildOptions& options) {
  if (options.scalar_head_std != kRewardHeadStd) return options.scalar_head_std;
  return 1.0f / std::sqrt(static_cast<float>(c.hidden_size + 1));
}

LlamaWeights declare_weights(ParameterStore& store, const LlamaConfig& c,
                             const BuildOptions& options) {
  const ParameterOptions matrix{.init = Init::normal(static_cast<float>(c.initializer_range))};
  const Shape vocab_shape{c.vocab_size, c.hidden_size};
  const std::int64_t padded = padded_vocab(c.vocab_size, options.tp.size());
  const auto vocab_spec = [&](std::string name) {
    return ShardSpec{.dim = 0, .pieces = {{std::move(name), vocab_shape}}, .padded_size = padded};
  };
  LlamaWeights weights{};
  weights.embedding = store.add("embedding", vocab_spec("model.embed_tokens.weight"), matrix);
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
    weights.blocks.push_back(declare_block(store, c, i));
  weights.final_norm = store.add(
      "final_norm", ShardSpec{.pieces = {{"model.norm.weight", {c.hidden_size}}}}, norm_options());
  if (options.head == Head::kScalar) {
    weights.score = store.add("score", ShardSpec{.pieces = {{"score.weight", {1, c.hidden_size}}}},
                              {.init = Init::normal(scalar_head_std(c, options))});
  } else {
    weights.lm_head = c.tie_word_embeddings
                          ? weights.embedding
                          : store.add("lm_head", vocab_spec("lm_head.weight"), matrix);
  }
  return weights;
}

// ---- the model

class Llama final : public Model {
 public:
  Llama(const LlamaConfig& config, const BuildOptions& options)
      : config_(config),
        options_(options),
        store_(options.store_options()),
        heads_{config.num_attention_heads / options.tp.size(),
               config.num_key_value_heads / options.tp.size(), config.resolved_head_dim()},
        rope_table_(runtime::make_rope_table(config.max_position_embeddings,
                                             config.resolved_head_dim(), config.rope_theta,
                                             options.device)) {
    weights_ = declare_weights(store_, config_, options_);
    store_.allocate();
  }

  Tensor forward(const ModelInput& input, const CacheUse* cache) override {
    Tensor h = parallel::vocab_parallel_embedding(input.tokens, *weights_.embedding,
                                                  first_vocab_row(), options_.tp);
    for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
      const auto run = [this, i, &input, cache](const Tensor& x) {
        return block(i, x, input, cache);
      };
      h = options_.recompute && cache == nullptr ? runtime::recompute(owning_block(i, input), h)
                                                 : run(h);
    }
    return runtime::rms_norm(h, *weights_.final_norm, eps());
  }

  KvCache make_cache(std::int64_t slots, std::int64_t capacity) const override {
    return {config_.num_hidden_layers,  slots,          capacity, heads_.kv_heads, heads_.head_dim,
            options_.precision.compute, options_.device};
  }

  parallel::VocabShard vocab() override {
    TANDEM_CHECK(weights_.lm_head != nullptr,
                 "this model has a scalar head and no vocabulary scores");
    const std::int64_t stored =
        padded_vocab(config_.vocab_size, options_.tp.size()) / options_.tp.size();
    const std::int64_t rows =
        std::clamp<std::int64_t>(config_.vocab_size - first_vocab_row(), 0, stored);
    return {weights_.lm_head, first_vocab_row(), rows, options_.tp};
  }

  Leaf& scalar_head() override {
    TANDEM_CHECK(weights_.score != nullptr, "this model has a vocabulary head and no scalar head");
    return *weights_.score;
  }

  ParameterStore& parameters() override { return store_; }
  std::int64_t vocab_size() const override { return config_.vocab_size; }
  std::int64_t max_positions() const override { return config_.max_position_embeddings; }

  double training_flops_per_token(std::int64_t sequence_length) const override {
    const auto matrices = static_cast<double>(
        store_.logical_elements() -
        (config_.tie_word_embeddings ? 0 : config_.vocab_size * config_.hidden_size));
    const double attention =
        6.0 * static_cast<double>(config_.num_hidden_layers * config_.num_attention_heads *
                                  config_.resolved_head_dim() * sequence_length);
    return 6.0 * matrices + attention;
  }

  std::string config_json() const override {
    return to_config_json(config_, weights_.score != nullptr, "float32");
  }

 private:
  float eps() const { return static_cast<float>(config_.rms_norm_eps); }

  std::int64_t first_vocab_row() const {
    return padded_vocab(config_.vocab_size, options_.tp.size()) / options_.tp.size() *
           options_.tp.rank();
  }

  // A block to run again during backward: it owns its input, because the caller's is gone by then.
  std::function<Tensor(const Tensor&)> owning_block(std::size_t index, const ModelInput& input) {
    return [this, index, input](const Tensor& x) { return block(index, x, input, nullptr); };
  }

  // h [n, hidden] → [n, hidden].
  Tensor block(std::size_t index, const Tensor& h, const ModelInput& input, const CacheUse* cache) {
    const BlockWeights& w = weights_.blocks[index];
    const Tensor x = runtime::rms_norm(h, *w.input_norm, eps());
    const Tensor attended = attend(
        index, parallel::column_parallel_linear(x, *w.qkv, nullptr, options_.tp), input, cache);
    const Tensor mixed = parallel::row_parallel_linear(attended, *w.out, options_.tp);
    const auto [sum, y] = runtime::add_rms_norm(mixed, h, *w.post_norm, eps());
    const Tensor gated =
        runtime::swiglu(parallel::column_parallel_linear(y, *w.gate_up, nullptr, options_.tp));
    return runtime::add(sum, parallel::row_parallel_linear(gated, *w.down, options_.tp));
  }

  Tensor attend(std::size_t index, const Tensor& packed, const ModelInput& input,
                const CacheUse* use) {
    const Tensor qkv = runtime::rope(packed, heads_, input.positions, rope_table_);
    if (use == nullptr) return runtime::attention(qkv, heads_, input.cu_seqlens);
    runtime::KvCacheView& cache = use->cache->layer(static_cast<std::int64_t>(index));
    runtime::Backend& backend = runtime::backend_of(qkv);
    backend.kv_cache_write(heads_.k(qkv), heads_.v(qkv), use->slots, use->positions, cache);
    if (!use->decode) return runtime::attention(qkv, heads_, input.cu_seqlens);
    std::vector<std::int32_t> lengths(use->positions);
    for (std::int32_t& length : lengths) ++length;
    Tensor out =
        Tensor::empty({qkv.dim(0), heads_.heads * heads_.head_dim}, qkv.dtype(), qkv.device());
    backend.attention_decode(heads_.q(qkv), cache, use->slots, lengths,
                             1.0f / std::sqrt(static_cast<float>(heads_.head_dim)), 0, out);
    return out;
  }

  LlamaConfig config_;
  BuildOptions options_;
  ParameterStore store_;
  runtime::PackedHeads heads_;
  runtime::RopeTable rope_table_;
  LlamaWeights weights_;
};

}  // namespace

std::unique_ptr<Model> make_llama(const LlamaConfig& config, const BuildOptions& options) {
  validate(config, options.tp.size());
  return std::make_unique<Llama>(config, options);
}

}  // namespace tandem::models
