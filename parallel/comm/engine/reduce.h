// The arithmetic of reductions on the host, with the order of summation fixed: by rank.
#pragma once

#include <cstdint>
#include <span>

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

// True for the types that can be reduced: fp32, bf16, fp16, fp64, int32, int64.
bool can_reduce(runtime::DType dtype);

// output[i] = (((inputs[0][i] ∘ inputs[1][i]) ∘ inputs[2][i]) ∘ …), one input per rank in rank
// order; bf16 and fp16 are accumulated in fp32 and rounded once. A NaN in any input gives NaN.
// output may be one of the inputs.
void reduce_in_rank_order(runtime::DType dtype, ReduceOp op, std::span<const void* const> inputs,
                          void* output, std::int64_t elements);

}  // namespace tandem::parallel
