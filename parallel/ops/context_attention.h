// Attention over sequences that ranks divide (context parallelism). Every rank has the queries of
// its own tokens and gathers the keys and values of all: with grouped query heads those are small
// (Dubey et al. 2024, section 3.3.2). Each of its chunks then attends to what it sees of its
// sequence, as an unequal pair of texts that the kernels know.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "parallel/comm/communicator.h"
#include "runtime/autograd/ops/attention.h"

namespace tandem::parallel {

// Rows that the fullest rank has of sequences with these borders; 0 without any.
std::int64_t context_rows(const std::vector<std::int32_t>& whole_borders, int ranks);

// Which rows of the gathered keys and values the chunks of this rank see.
class ContextPlan {
 public:
  // `rows` of every rank: its chunks of the sequences (runtime/base/context_division.h), and behind
  // them rows that make it as many as the others have, a text of their own. causal: a token sees
  // those before it and itself, else all of its sequence.
  ContextPlan(const std::vector<std::int32_t>& whole_borders, std::int64_t rows, bool causal,
              Group cp, runtime::Device device);

  const Group& cp() const { return cp_; }
  bool causal() const { return causal_; }
  std::int64_t rows() const { return rows_; }
  // Borders of this rank's chunks, and of the keys of each in what key_rows() selects.
  const std::vector<std::int32_t>& borders() const { return borders_; }
  const std::vector<std::int32_t>& key_borders() const { return key_borders_; }
  // int32, among the ranks' rows one after the other.
  const runtime::Tensor& key_rows() const { return key_rows_; }

 private:
  Group cp_;
  bool causal_;
  std::int64_t rows_;
  std::vector<std::int32_t> borders_ = {0}, key_borders_ = {0};
  runtime::Tensor key_rows_;
};

// As runtime::attention(): qkv [rows, q | k | v heads] of this rank → [rows, heads · head_dim].
// `options` has no bias by distance. Saved: qkv, out, log-sum-exp; keys are gathered again in
// backward. Collective over the plan's ranks.
runtime::Tensor context_attention(const runtime::Tensor& qkv, const runtime::PackedHeads& heads,
                                  const std::shared_ptr<const ContextPlan>& plan,
                                  const runtime::AttentionOptions& options);

}  // namespace tandem::parallel
