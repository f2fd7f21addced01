// Matrix products through oneDNN, whose header stays in matmul.cpp.
#pragma once

#include "runtime/tensor/tensor.h"

namespace tandem::runtime::cpu {

// As Backend::matmul.
void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
            bool accumulate, const Tensor& bias);

// As Backend::few_rows_matmul: the kernel in isa/few_rows.cpp up to so many rows; beyond, arranging
// the weight for many pays (as measured), and this is matmul.
constexpr std::int64_t kFewRows = 16;
void few_rows_matmul(const Tensor& x, const Tensor& weight, Tensor& out, const Tensor& bias);

// The columns [first, first + count) of out[m, n] = a[m, k] · op(b)[k, count] (+ bias[n]); b is of
// a's type, [k, count] or, when transposed, [count, k].
void matmul_columns(const Tensor& a, const void* b, bool transpose_b, std::int64_t first,
                    std::int64_t count, Tensor& out, const Tensor& bias);

// out[m, n] = a[m, k] · b[n, k]ᵀ of rows of bf16, as bits.
void matmul_bf16_rows(const std::uint16_t* a, const std::uint16_t* b, std::int64_t m,
                      std::int64_t n, std::int64_t k, float* out);

}  // namespace tandem::runtime::cpu
