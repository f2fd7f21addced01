// The conjugate pair that tensor parallelism is written with (Shoeybi et al. 2019). The loss is
// replicated over the tensor-parallel ranks: each computes the same value and its gradient, so a
// gradient that flows into a replicated activation from sharded weights is a partial sum and must
// be added up.
//
// With sequence parallelism (Korthikanti et al. 2022) activations between the products are not
// replicated but divided by tokens. The traffic is the same: a sum that all ranks receive becomes
// one of which each receives its rows, and the rows are gathered where a product needs them all.
// Sums are the same bits either way.
#pragma once

#include "parallel/comm/communicator.h"
#include "runtime/autograd/tape.h"

namespace tandem::parallel {

// How the products of a model are divided. Where an activation is said to lie `between` products,
// that is [n, width] on every rank, or with sequence_parallel this rank's part [n / ranks, width]
// of the tokens, which the ranks must divide.
struct TensorParallel {
  Group group;
  bool sequence_parallel = false;

  bool divides_tokens() const { return sequence_parallel && group.size() > 1; }
};

// Forward: sum of the ranks' partial x [n, width] → between products. Backward: the gradient of
// that sum. x may be overwritten (it must be a fresh, unshared output).
runtime::Tensor reduce_from_tp(const runtime::Tensor& x, const TensorParallel& tp);

// The first n rows, on every rank, of an activation between products, which may have more for the
// ranks to divide it; their gradient is the same on all ranks.
runtime::Tensor gather_tokens(const runtime::Tensor& x, std::int64_t n, const TensorParallel& tp);
// This rank's rows of a per-token tensor [n, …] that all ranks hold, such as positions; not tracked
// by the tape.
runtime::Tensor own_tokens(const runtime::Tensor& all, const TensorParallel& tp);

// Column-parallel product: this rank's rows of the weight, x between products → [n, out / tp].
// Backward starts the sum of dx and computes dW while it is in flight. gelu: as of runtime::linear.
runtime::Tensor column_parallel_linear(const runtime::Tensor& x, runtime::Leaf& weight,
                                       runtime::Leaf* bias, const TensorParallel& tp,
                                       runtime::Tensor* gelu = nullptr);

// Row-parallel product: this rank's columns of the weight, x sharded [n, in / tp] → between
// products, width out. The bias, which every rank holds, is added once; its gradient is whole.
runtime::Tensor row_parallel_linear(const runtime::Tensor& x, runtime::Leaf& weight,
                                    runtime::Leaf* bias, const TensorParallel& tp);
inline runtime::Tensor row_parallel_linear(const runtime::Tensor& x, runtime::Leaf& weight,
                                           const TensorParallel& tp) {
  return row_parallel_linear(x, weight, nullptr, tp);
}

// Rows of a vocabulary that is divided over the ranks; tokens int32 [n] on every rank → between
// products.
runtime::Tensor vocab_parallel_embedding(const runtime::Tensor& tokens, runtime::Leaf& weight,
                                         std::int64_t first_row, const TensorParallel& tp);

}  // namespace tandem::parallel
