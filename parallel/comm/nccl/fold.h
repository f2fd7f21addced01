// Reductions over what the ranks of a group have sent to one of them. Free of the project's other
// headers, as all that nvcc reads.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace tandem::parallel {

enum class FoldOp { kSum, kMax, kMin };

// out[i] = parts[0][i] ∘ parts[1][i] ∘ … for i in [0, elements), in rank order, 16 bits in fp32
// with one rounding: the bits of reduce_in_rank_order (engine/reduce.h). Rank r's part begins r ·
// elements behind `parts`; that of rank `own_rank` lies at `own` instead, which may be `out`. T is
// float, __nv_bfloat16, __half, double, int32 or int64.
template <typename T>
void fold_parts(FoldOp op, const T* parts, int ranks, int own_rank, const T* own, T* out,
                std::int64_t elements, cudaStream_t stream);

}  // namespace tandem::parallel
