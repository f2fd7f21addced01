// A small set of parameters of every kind that models have: padded vocabulary, fused projections,
// row-parallel weight, norm, scalar head; and what files hold in other forms.
#pragma once

#include "parallel/layers/parameter_store.h"

namespace tandem::parallel::testing {

inline constexpr std::int64_t kVocabulary = 13;

inline void add_toy_parameters(ParameterStore& store) {
  const ParameterOptions matrix{.init = Init::normal(0.5f)};
  ParameterOptions first_block = matrix, second_block = matrix;
  first_block.unit = 0;
  second_block.unit = 1;
  const ParameterOptions norm{.init = Init::constant(1.0f), .decay = false, .keep_fp32 = true};
  const std::int64_t ranks = store.tp().size();
  const std::int64_t padded = (kVocabulary + ranks - 1) / ranks * ranks;
  store.add("embedding",
            {.dim = 0, .pieces = {{"embed.weight", {kVocabulary, 12}}}, .padded_size = padded},
            matrix);
  store.add(
      "qkv",
      {.dim = 0, .pieces = {{"q.weight", {16, 12}}, {"k.weight", {8, 12}}, {"v.weight", {8, 12}}}},
      first_block);
  store.add("out", {.dim = 1, .pieces = {{"out.weight", {12, 16}}}}, first_block);
  store.add("bias", {.dim = 0, .pieces = {{"bias", {8}}}}, first_block);
  // One tensor of a file in three parts, and matrices that files hold the other way round.
  store.add("joined",
            {.dim = 0,
             .pieces = {{"joined.weight", {8, 12}, 0, true},
                        {"joined.weight", {8, 12}, 8, true},
                        {"joined.weight", {4, 12}, 16, true}}},
            second_block);
  store.add("joined_bias",
            {.dim = 0,
             .pieces = {{"joined.bias", {8}}, {"joined.bias", {8}, 8}, {"joined.bias", {4}, 16}}},
            second_block);
  store.add("turned", {.dim = 1, .pieces = {{"turned.weight", {12, 16}, 0, true}}}, second_block);
  store.add("norm", {.pieces = {{"norm.weight", {12}}}}, norm);
  store.add("score", {.pieces = {{"score.weight", {1, 12}}}}, matrix);
}

inline ParameterStore toy_store(StoreOptions options) {
  ParameterStore store(std::move(options));
  add_toy_parameters(store);
  store.allocate();
  return store;
}

inline ParameterStore toy_store(const Group& tp, bool trainable = true,
                                runtime::PrecisionPolicy precision = {},
                                runtime::Device device = {}) {
  return toy_store({.precision = precision, .tp = tp, .device = device, .trainable = trainable});
}

// What replicas divide, and in which buckets.
inline StoreOptions divided(ZeroStage zero, const Group& dp, std::int64_t bucket_elements = 250) {
  return {.dp = dp, .zero = zero, .bucket_elements = bucket_elements};
}

}  // namespace tandem::parallel::testing
