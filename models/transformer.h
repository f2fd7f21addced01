// What all families' models have in common: the parameter store, the vocabulary and its output
// matrix, the scalar head, the answers about sizes. A family adds its weights and its forward.
#pragma once

#include <memory>

#include "models/family.h"
#include "models/layers/stack.h"
#include "models/layers/vocabulary.h"

namespace tandem::models {

class Transformer : public Model {
 public:
  parallel::VocabShard vocab() override;
  runtime::Leaf& scalar_head() override;
  ModelKind kind() const override { return config_->kind(); }
  TextObjective text_objective() const override { return config_->text_objective(); }
  KvCache make_cache(std::int64_t slots, std::int64_t capacity,
                     std::int64_t encoder_capacity) const override;
  parallel::ParameterStore& parameters() override { return store_; }
  std::int64_t vocab_size() const override { return config_->vocab_size; }
  std::int64_t max_positions() const override { return config_->max_position_embeddings; }
  double training_flops_per_token(std::int64_t sequence_length) const override;
  std::string config_json() const override { return config_->to_json(options_.head); }
  bool may_be_missing(const std::string& name) const override { return name == "score.weight"; }
  std::vector<std::string> other_names(const std::string& name) const override;

 protected:
  // `base` is what files of the headless model leave away from names ("transformer."), and what
  // its weights are declared under.
  Transformer(const FamilyConfig& config, const BuildOptions& options,
              const runtime::PackedHeads& heads, std::string base);

  Weights weights() { return {store_, config_->initializer_range}; }
  // The embedding, which is the output matrix too where they are tied.
  void declare_embedding(const std::string& name);
  // The output matrix, or the scalar head.
  void declare_head(const std::string& matrix_name);
  // Layers that a cache is kept for.
  virtual std::int64_t cache_layers() const { return config_->num_hidden_layers; }
  void set_vocab_bias(runtime::Leaf* bias) { vocab_bias_ = bias; }

  runtime::Tensor embed(const runtime::Tensor& tokens) const {
    return vocabulary_.embed(tokens, *embedding_);
  }
  const VocabDivision& vocabulary() const { return vocabulary_; }
  const BuildOptions& options() const { return options_; }
  // This rank's.
  const runtime::PackedHeads& heads() const { return heads_; }
  const parallel::Group& tp() const { return options_.tp; }
  parallel::ParameterStore& store() { return store_; }

 private:
  std::unique_ptr<FamilyConfig> config_;
  BuildOptions options_;
  runtime::PackedHeads heads_;
  std::string base_;
  parallel::ParameterStore store_;
  VocabDivision vocabulary_;
  runtime::Leaf* embedding_ = nullptr;
  runtime::Leaf* output_ = nullptr;  // the embedding itself when tied
  runtime::Leaf* vocab_bias_ = nullptr;
  runtime::Leaf* score_ = nullptr;
};

// Of one rank: `heads` and `kv_heads` divided by the ranks.
runtime::PackedHeads divided_heads(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
                                   const parallel::Group& tp);

// Throws Error for a family that has no scalar head, or none of hidden states.
void refuse_scalar_head(const FamilyConfig& config, const BuildOptions& options);
void refuse_hidden_states(const FamilyConfig& config, const BuildOptions& options);

}  // namespace tandem::models
