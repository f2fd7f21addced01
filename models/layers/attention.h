// Attention of a block over its own text and over an encoder's, divided over the tensor-parallel
// ranks by heads, with and without a cache.
#pragma once

#include <cstdint>
#include <vector>

#include "models/layers/norm.h"
#include "models/model.h"
#include "parallel/ops/context_attention.h"
#include "parallel/ops/tensor_parallel.h"
#include "runtime/autograd/ops/attention.h"

namespace tandem::models {

// What one forward pass tells every layer of a stack. n counts all tokens of the texts; where an
// activation is said to lie between products, see TensorParallel.
struct Pass {
  parallel::TensorParallel tp = {};
  runtime::Tensor positions = {};  // int32 [n]; T5 has none
  std::vector<std::int32_t> cu_seqlens;
  runtime::DeviceBorders borders = {};  // as TextInput::borders
  const CacheUse* cache = nullptr;
  // Where context parallelism divides the sequences: what this rank's chunks see of their own text
  // and, in a decoder that reads an encoder's, of that.
  std::shared_ptr<const parallel::ContextPlan> context = nullptr, encoded_context = nullptr;
  // fp32 [distances, this rank's heads] or undefined (T5), see AttentionOptions. Tracked.
  runtime::Tensor distance_bias = {};
  std::int64_t bias_zero = 0;
  // Of a decoder that reads an encoder's text: its hidden states between products, undefined when
  // decoding from a cache. Tracked.
  runtime::Tensor encoded = {};
  std::vector<std::int32_t> encoded_cu_seqlens = {};
  // Masks for what adapters read, of the text's tokens and of the encoder's.
  Draws draws = nullptr, encoded_draws = nullptr;
};

struct SelfAttention {
  Linear qkv;  // q | k | v rows
  Linear out;
  runtime::PackedHeads heads;  // this rank's
  bool causal = true;
  std::int64_t window = 0;
  float scale = 0;  // 0: 1/sqrt(head_dim)
  const runtime::RopeTable* rope = nullptr;
  Norm q_norm = {}, k_norm = {};  // of every head by itself (Qwen3)

  // x between products → the same. `layer` is the index in the cache.
  runtime::Tensor operator()(const runtime::Tensor& x, std::int64_t layer, const Pass& pass) const;
};

struct CrossAttention {
  Linear q;
  Linear kv;  // k | v rows
  Linear out;
  runtime::PackedHeads heads;  // this rank's
  float scale = 0;

  runtime::Tensor operator()(const runtime::Tensor& x, std::int64_t layer, const Pass& pass) const;
};

}  // namespace tandem::models
