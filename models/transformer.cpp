#include "models/transformer.h"

#include <cmath>

#include "runtime/base/error.h"

namespace tandem::models {

using parallel::Init;
using parallel::ShardSpec;
using runtime::Leaf;

runtime::PackedHeads divided_heads(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
                                   const parallel::Group& tp) {
  return {heads / tp.size(), kv_heads / tp.size(), head_dim};
}

void refuse_scalar_head(const FamilyConfig& config, const BuildOptions& options) {
  if (options.head == Head::kScalar)
    runtime::throw_error(
        "a {} model cannot be a reward or value model; start those from a decoder such as llama",
        config.model_type());
}

void refuse_hidden_states(const FamilyConfig& config, const BuildOptions& options) {
  if (options.head == Head::kHiddenStates)
    runtime::throw_error("a {} model gives no embeddings; use an encoder such as bert",
                         config.model_type());
}

Transformer::Transformer(const FamilyConfig& config, const BuildOptions& options,
                         const runtime::PackedHeads& heads, std::string base)
    : config_(config.clone()),
      options_(options),
      heads_(heads),
      base_(std::move(base)),
      store_(options.store_options()),
      vocabulary_(config.vocab_size, options.tp) {}

void Transformer::declare_embedding(const std::string& name) {
  embedding_ = store_.add("embedding", vocabulary_.matrix(name, config_->hidden_size),
                          weights().matrix_options());
}

void Transformer::declare_head(const std::string& matrix_name) {
  const std::int64_t width = config_->hidden_size;
  if (options_.head == Head::kScalar) {
    const float std = options_.scalar_head_std != kRewardHeadStd
                          ? options_.scalar_head_std
                          : 1.0f / std::sqrt(static_cast<float>(width + 1));
    score_ = store_.add("score", ShardSpec{.pieces = {{"score.weight", {1, width}}}},
                        {.init = Init::normal(std)});
    return;
  }
  if (options_.head == Head::kHiddenStates) return;
  output_ = config_->tie_word_embeddings
                ? embedding_
                : store_.add("lm_head", vocabulary_.matrix(matrix_name, width),
                             weights().matrix_options());
}

parallel::VocabShard Transformer::vocab() {
  TANDEM_CHECK(output_ != nullptr, "this model has a scalar head and no vocabulary scores");
  return vocabulary_.shard(output_, vocab_bias_);
}

Leaf& Transformer::scalar_head() {
  TANDEM_CHECK(score_ != nullptr, "this model has a vocabulary head and no scalar head");
  return *score_;
}

KvCache Transformer::make_cache(std::int64_t slots, std::int64_t capacity,
                                std::int64_t encoder_capacity) const {
  return {cache_layers(),  slots,           capacity,
          heads_.kv_heads, heads_.head_dim, options_.precision.compute,
          options_.device, encoder_capacity};
}

double Transformer::training_flops_per_token(std::int64_t sequence_length) const {
  const auto matrices = static_cast<double>(
      store_.logical_elements() -
      (config_->tie_word_embeddings ? 0 : config_->vocab_size * config_->hidden_size));
  const std::int64_t heads = heads_.heads * options_.tp.size();
  const double attention = 6.0 * static_cast<double>(config_->num_hidden_layers * heads *
                                                     heads_.head_dim * sequence_length);
  return 6.0 * matrices + attention;
}

std::vector<std::string> Transformer::other_names(const std::string& name) const {
  if (base_.empty() || !name.starts_with(base_)) return {};
  return {name.substr(base_.size())};
}

}  // namespace tandem::models
