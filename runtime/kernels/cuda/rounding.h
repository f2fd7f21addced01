// Rounding to bf16 with random numbers that are drawn by the place of an element.
#pragma once

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/element_indices.h"

namespace tandem::runtime::cuda {

// As kernels/backend.h says under this name; key and philox_stream: see base/random.h.
void round_stochastically(const float* in, std::int64_t n, std::uint64_t key,
                          std::uint64_t philox_stream, const ElementIndices& indices, Bf16* out,
                          cudaStream_t stream);

}  // namespace tandem::runtime::cuda
