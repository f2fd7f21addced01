// Shapes and types that kernels rely on, one check per kernel or group of kernels, called by the
// CPU and the meta backend alike (InternalError when broken: the ops in autograd have checked what
// a user can get wrong). A check costs nanoseconds, a wrong shape a debugging day.
#pragma once

#include <initializer_list>
#include <span>
#include <utility>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

// Sizes alone; types may differ (copy, add).
void check_same_elements(const Tensor& a, const Tensor& b);
// Sizes and types.
void check_same(const Tensor& a, std::initializer_list<const Tensor*> others);
void check_matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                  const Tensor& out, const Tensor& bias);
void check_column_sum(const Tensor& dy, const Tensor& dbias);
void check_gather(const Tensor& x, const Tensor& rows, const Tensor& out);
// out may have the type of x or be fp32.
void check_scatter(const Tensor& x, const Tensor& rows, const Tensor& out);
// rows [n, width] with per-column weight and per-row statistics; undefined tensors are skipped.
void check_norm(const Tensor& rows, std::initializer_list<const Tensor*> same,
                std::initializer_list<const Tensor*> columns,
                std::initializer_list<const Tensor*> statistics);
void check_heads(const HeadsView& heads);
void check_rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos,
                const Tensor& sin);
void check_swiglu(const Tensor& gate_up, const Tensor& half);
void check_attention(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                     const AttentionShape& shape, const Tensor& out, const Tensor& lse);
void check_cache_write(const HeadsView& k, const HeadsView& v, std::span<const std::int32_t> slots,
                       std::span<const std::int32_t> positions, const KvCacheView& cache);
void check_decode(const HeadsView& q, const KvCacheView& cache, std::span<const std::int32_t> slots,
                  std::span<const std::int32_t> lengths, const DistanceBias& bias,
                  const Tensor& out);
// Logits [n, v] with targets int32 [n] (may be undefined) and fp32 statistics [n].
void check_softmax(const Tensor& logits, const Tensor& targets,
                   std::initializer_list<const Tensor*> statistics);
// sums fp32 [n, 3] and statistics fp32 [n].
void check_softmax_sums(const Tensor& sums, std::initializer_list<const Tensor*> statistics);
void check_add_dot(const Tensor& a, const Tensor& b, const Tensor& out);
// What a mask is drawn for, as [rows, width]: one row where rows follow each other without a gap.
std::pair<std::int64_t, std::int64_t> rows_of_mask(const Tensor& x, const MaskDraws& draws);
void check_columns(const Tensor& part, std::int64_t first, const Tensor& whole);
void check_quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                            const Tensor& out, const Tensor& bias);
void check_amax(const Tensor& x, const Tensor& amax);
void check_quantize_fp8(const Tensor& x, const Tensor& scale, const Fp8Matrix& out,
                        const Tensor& amax);
void check_fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, const Tensor& out, const Tensor& bias);
void check_adamw_8bit(const Tensor& master, const Tensor& grad, const QuantizedMoment& exp_avg,
                      const QuantizedMoment& exp_avg_sq, const Tensor& compute);
void check_concat(const Tensor& parts, const Tensor& out);
void check_stochastic_rounding(const Tensor& in, const ElementIndices& indices, const Tensor& out);
void check_adamw(const Tensor& master, const Tensor& grad, const Tensor& exp_avg,
                 const Tensor& exp_avg_sq, const Tensor& compute);
void check_sample(const Tensor& logits, const SamplingParams& params,
                  std::span<const float> uniform, std::span<const std::int32_t> tokens);

}  // namespace tandem::runtime
