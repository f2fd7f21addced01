// The conjugate pair that tensor parallelism is written with (Shoeybi et al. 2019). The loss is
// replicated over the tensor-parallel ranks: each computes the same value and its gradient, so a
// gradient that flows into a replicated activation from sharded weights is a partial sum and must
// be added up.
#pragma once

#include "parallel/comm/communicator.h"
#include "runtime/autograd/tape.h"

namespace tandem::parallel {

// Forward: all-reduce of partial sums. Backward: identity. x is overwritten (it must be a fresh,
// unshared output).
runtime::Tensor reduce_from_tp(const runtime::Tensor& x, const Group& tp);

// Column-parallel product: this rank's rows of the weight, x replicated → [n, out / tp]. Backward
// starts the all-reduce of dx and computes dW while it is in flight.
runtime::Tensor column_parallel_linear(const runtime::Tensor& x, runtime::Leaf& weight,
                                       runtime::Leaf* bias, const Group& tp);

// Row-parallel product: this rank's columns of the weight, x sharded [n, in / tp] → replicated [n,
// out]. The bias, which every rank holds, is added once.
runtime::Tensor row_parallel_linear(const runtime::Tensor& x, runtime::Leaf& weight,
                                    runtime::Leaf* bias, const Group& tp);
inline runtime::Tensor row_parallel_linear(const runtime::Tensor& x, runtime::Leaf& weight,
                                           const Group& tp) {
  return row_parallel_linear(x, weight, nullptr, tp);
}

// Rows of a vocabulary that is divided over the ranks; tokens int32 [n] → replicated [n, width].
runtime::Tensor vocab_parallel_embedding(const runtime::Tensor& tokens, runtime::Leaf& weight,
                                         std::int64_t first_row, const Group& tp);

}  // namespace tandem::parallel
