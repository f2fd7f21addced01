// The last linear layer fused with the softmax over the vocabulary, which may be divided over
// tensor-parallel ranks. Works on a few hundred tokens at a time, a few thousand on a card, so that
// the logits [n, vocab] never exist. Logits and all statistics are fp32 also when the model
// computes in bf16.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/comm/communicator.h"
#include "runtime/autograd/tape.h"

namespace tandem::parallel {

// This rank's rows of the output matrix: [first_row, first_row + rows) of the vocabulary, without
// padding.
struct VocabShard {
  runtime::Leaf* weight = nullptr;  // [stored rows >= rows, hidden]
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  Group tp;
  runtime::Leaf* bias = nullptr;  // fp32, as many elements as weight has rows; null: none
};

// Σ_i weights[i] · −log p(targets[i]) → fp32 [1]. hidden [n, width]; targets int32 [n]; weights
// fp32 [n]. The gradients of hidden and of the matrix are computed in the forward, chunk by chunk,
// so that each product with the vocabulary happens once. Hence its gradient must be 1 (scale the
// weights instead) and it may not stand inside a recomputed block. Where nothing is recorded, only
// the loss.
runtime::Tensor linear_cross_entropy(const runtime::Tensor& hidden, const VocabShard& vocab,
                                     const runtime::Tensor& targets,
                                     const runtime::Tensor& weights);

struct LogProbs {
  runtime::Tensor log_prob;  // fp32 [n]: log softmax(logits / temperature) at the target
  runtime::Tensor entropy;   // fp32 [n]: entropy of that distribution
};
// Tracked: backward takes the gradients of both and recomputes each chunk's logits.
LogProbs linear_log_prob(const runtime::Tensor& hidden, const VocabShard& vocab,
                         const runtime::Tensor& targets, float temperature = 1.0f);

// Full logits fp32 [n, vocab] on every rank, for sampling. Not tracked.
runtime::Tensor gathered_logits(const runtime::Tensor& hidden, const VocabShard& vocab,
                                std::int64_t vocab_size);

}  // namespace tandem::parallel
