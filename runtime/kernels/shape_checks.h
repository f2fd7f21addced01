// Shapes that kernels rely on, checked by the CPU and the meta backend alike (InternalError when
// broken: the ops in autograd have checked what a user can get wrong). A check costs nanoseconds, a
// wrong shape a debugging day.
#pragma once

#include <span>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

void check_same_elements(const Tensor& a, const Tensor& b);
void check_matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                  const Tensor& out, const Tensor& bias);
void check_gather(const Tensor& x, const Tensor& rows, const Tensor& out);
void check_scatter(const Tensor& x, const Tensor& rows, const Tensor& out);
// rows [n, width] with per-column weight and per-row statistics; undefined tensors are skipped.
void check_norm(const Tensor& rows, std::initializer_list<const Tensor*> same,
                std::initializer_list<const Tensor*> columns,
                std::initializer_list<const Tensor*> statistics);
void check_heads(const HeadsView& heads);
void check_attention(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                     const AttentionShape& shape, const Tensor& out, const Tensor& lse);
void check_softmax(const Tensor& logits, std::initializer_list<const Tensor*> statistics);
void check_softmax_stats(const Tensor& maximum, const Tensor& sums, const Tensor& lse,
                         const Tensor& log_prob, const Tensor& entropy);
void check_concat(const Tensor& parts, const Tensor& out);

}  // namespace tandem::runtime
