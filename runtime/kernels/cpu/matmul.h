// Matrix products through oneDNN, whose header stays in matmul.cpp.
#pragma once

#include "runtime/tensor/tensor.h"

namespace tandem::runtime::cpu {

// As Backend::matmul.
void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
            bool accumulate, const Tensor& bias);

}  // namespace tandem::runtime::cpu
