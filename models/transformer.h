// What all families' models have in common: the parameter store, the vocabulary and its output
// matrix, the scalar head, a decoder's scores of labels, the answers about sizes, and the way of a
// text through the blocks, whole or as one stage of a pipeline. A family adds its weights, what
// comes before its first block and what comes after its last.
#pragma once

#include <memory>

#include "models/family.h"
#include "models/layers/stack.h"
#include "models/layers/vocabulary.h"

namespace tandem::models {

class Transformer : public Model {
 public:
  runtime::Tensor forward(const ModelInput& input, const CacheUse* cache) final;
  parallel::VocabShard vocab() override;
  runtime::Leaf& scalar_head() override;
  runtime::Tensor label_scores(const runtime::Tensor& hidden) override;
  const Labels& labels() const override { return config_->labels; }
  ModelKind kind() const override { return config_->kind(); }
  TextObjective text_objective() const override { return config_->text_objective(); }
  KvCache make_cache(std::int64_t slots, std::int64_t capacity,
                     std::int64_t encoder_capacity) const override;
  parallel::Pipeline* pipeline() override { return pipeline_.get(); }
  const parallel::Group& cp() const override { return options_.cp; }
  parallel::ParameterStore& parameters() override { return store_; }
  Adapter* adapter() override { return adapter_.get(); }
  std::int64_t vocab_size() const override { return config_->vocab_size; }
  std::int64_t hidden_size() const override { return config_->hidden_size; }
  std::int64_t max_positions() const override { return config_->max_position_embeddings; }
  double training_flops_per_token(std::int64_t sequence_length) const override;
  std::string config_json() const override { return config_->to_json(options_.head); }
  bool may_be_missing(const std::string& name) const override { return name == "score.weight"; }
  std::vector<std::string> other_names(const std::string& name) const override;

 protected:
  // A model has one stack of blocks, or an encoder's and, after it, a decoder's. They are counted
  // from 0, and so are the blocks of each.
  using StackId = std::size_t;

  // `base` is what files of the headless model leave away from names ("transformer."), and what
  // its weights are declared under; `blocks` of each stack.
  Transformer(const FamilyConfig& config, const BuildOptions& options,
              const runtime::PackedHeads& heads, std::string base,
              std::vector<std::int64_t> blocks);

  // Where weights are declared that the model uses in that block; before the first; after the last.
  Weights block_weights(StackId stack, std::int64_t block);
  Weights first_weights(StackId stack = 0) { return weights_used_by({start_of(stack)}); }
  Weights last_weights(StackId stack = 0) {
    return weights_used_by({start_of(stack) + blocks_[stack] - 1});
  }
  // Weights that all blocks of a stack use.
  Weights stack_weights(StackId stack);

  // The embedding, which is the output matrix too where they are tied.
  void declare_embedding(const std::string& name);
  // The next block of a stack.
  void add_block(StackId stack, Block block) { stacks_[stack].blocks.push_back(std::move(block)); }
  // The output matrix, or the scalar head, or the matrix of labels, or nothing.
  void declare_head(const std::string& matrix_name);
  void set_vocab_bias(runtime::Leaf* bias) { vocab_bias_ = bias; }

  // The family's own parts of a forward: from tokens to the first block's input, between products;
  // what a pass tells the blocks beyond their text; from the last block's output to hidden states,
  // between products.
  virtual runtime::Tensor before_blocks(StackId stack, const TextInput& text,
                                        const parallel::TensorParallel& tp) = 0;
  virtual void prepare(StackId /*stack*/, Pass& /*pass*/) {}
  virtual runtime::Tensor after_blocks(StackId stack, const runtime::Tensor& h) = 0;

  runtime::Tensor embed(const runtime::Tensor& tokens, const parallel::TensorParallel& tp) const {
    return vocabulary_.embed(tokens, *embedding_, tp);
  }
  // Once everything is declared.
  void allocate();
  const VocabDivision& vocabulary() const { return vocabulary_; }
  const BuildOptions& options() const { return options_; }
  // This rank's.
  const runtime::PackedHeads& heads() const { return heads_; }

 private:
  // What a forward reads, and how its activations are divided.
  struct Reading {
    ModelInput input;
    const CacheUse* cache = nullptr;
    parallel::TensorParallel tp;
    // Where ranks divide the texts: what they see in the last stack, in an encoder before it, and
    // of that one's text.
    std::shared_ptr<const parallel::ContextPlan> context = nullptr, encoder_context = nullptr,
                                                 encoded_context = nullptr;
    Draws draws = nullptr, encoder_draws = nullptr;
  };
  // What blocks hand on, between products: the residual stream, and in a decoder that reads an
  // encoder's text, that one's hidden states.
  struct Stream {
    runtime::Tensor hidden, encoded;
  };
  // Blocks counted over all stacks.
  struct Range {
    std::int64_t begin = 0, end = 0;
  };

  StackId last_stack() const { return blocks_.size() - 1; }
  bool is_encoder(StackId stack) const { return stack < last_stack(); }
  // The first block of a stack, counted over all.
  std::int64_t start_of(StackId stack) const { return stack == 0 ? 0 : blocks_[0]; }
  std::int64_t block_count() const { return start_of(last_stack()) + blocks_.back(); }
  std::vector<Stack> make_stacks();
  Range blocks_of_part(int part) const;
  // The pipeline's rank that runs a block.
  int stage_of(std::int64_t block) const;
  Weights weights_used_by(const std::vector<std::int64_t>& blocks);

  // Runs `range` of the blocks, with what stands before a stack's first and after its last one.
  Stream advance(const Reading& reading, Stream stream, const Range& range);
  runtime::Tensor run_stack(StackId stack, const TextInput& text, Pass pass, runtime::Tensor h,
                            const Range& range);
  // All blocks of this rank; the model's last hidden states between products.
  runtime::Tensor run(const Reading& reading);
  Reading reading_of(const ModelInput& input, const CacheUse* cache) const;
  // The input of a reading is filled up and what its chunks see is planned, where ranks divide it.
  void divide_context(Reading& reading, std::int64_t multiple) const;
  // This rank's chunk that the pipeline has selected; the model's result after its last part.
  runtime::Tensor advance_chunk(const Reading& reading);
  // What a stream holds before `block`.
  std::vector<runtime::Shape> shapes_before(std::int64_t block, const Reading& reading) const;

  std::unique_ptr<FamilyConfig> config_;
  BuildOptions options_;
  runtime::PackedHeads heads_;
  std::string base_;
  std::vector<std::int64_t> blocks_;  // of each stack
  std::unique_ptr<parallel::Pipeline> pipeline_;
  parallel::ParameterStore store_;
  parallel::UnitValues unit_values_;
  std::unique_ptr<Adapter> adapter_;  // null: the model itself is trained
  std::vector<Stack> stacks_;
  VocabDivision vocabulary_;
  runtime::Leaf* embedding_ = nullptr;
  runtime::Leaf* output_ = nullptr;  // the embedding itself when tied
  runtime::Leaf* vocab_bias_ = nullptr;
  runtime::Leaf* score_ = nullptr;
};

// Of one rank: `heads` and `kv_heads` divided by the ranks.
runtime::PackedHeads divided_heads(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
                                   const parallel::Group& tp);

// Throws Error for a family that has no scalar head, or none for whole texts (labels, embeddings).
void refuse_scalar_head(const FamilyConfig& config, const BuildOptions& options);
void refuse_text_heads(const FamilyConfig& config, const BuildOptions& options);

}  // namespace tandem::models
