// Products with the numbers that the codes of a quantized matrix stand for: cuBLASLt multiplies
// them out of scratch memory.
#pragma once

#include "runtime/kernels/cuda/context.h"
#include "runtime/kernels/kernel_arguments.h"

namespace tandem::runtime::cuda {

// Holds, in 16 bits, any matrix of a Llama of 8 billion parameters whole.
constexpr std::int64_t kNumberBytes = std::int64_t{256} << 20;

// As Backend::quantized_matmul, for a result that is not empty. A matrix whose numbers have more
// than `bytes` is multiplied in pieces, each for some columns of `out` (64 at least); numbers and
// results of a piece then take so many bytes together.
void dequantized_matmul(Context& context, const Tensor& a, const QuantizedRows& weight,
                        bool transposed, Tensor& out, const Tensor& bias,
                        std::int64_t bytes = kNumberBytes);

}  // namespace tandem::runtime::cuda
