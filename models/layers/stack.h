// Transformer blocks and stacks of them, for every family: where the norms stand and whether there
// is an encoder's text to read is what distinguishes their blocks.
#pragma once

#include <optional>
#include <vector>

#include "models/layers/attention.h"
#include "models/layers/feed_forward.h"
#include "parallel/layers/unit_values.h"

namespace tandem::models {

struct Block {
  SelfAttention attention;
  Norm attention_norm;
  std::optional<CrossAttention> cross;
  Norm cross_norm;
  FeedForward feed_forward;
  Norm feed_forward_norm;
  // true: each layer reads the norm of the residual stream (GPT-2, Llama, T5);
  // false: the stream is the norm of each layer's sum (Vaswani et al. 2017; BERT, BART).
  bool norm_first = true;

  // h between products → the same.
  runtime::Tensor operator()(const runtime::Tensor& h, std::int64_t layer, const Pass& pass) const;
};

struct Stack {
  std::vector<Block> blocks;  // without weights where another stage of a pipeline has them
  ActivationMemory activations = {};
  // Brings the blocks' weights together where replicas divide them; the first block's unit.
  parallel::UnitValues* weights = nullptr;
  int first_unit = 0;

  // One block: h between products → the same.
  runtime::Tensor run(std::int64_t layer, const runtime::Tensor& h, const Pass& pass) const;

 private:
  runtime::Tensor with_weights(std::int64_t layer, const runtime::Tensor& h,
                               const Pass& pass) const;
};

}  // namespace tandem::models
