// Fills and copies of dtypes that kernels do not compute with: fp64 and integers.
#pragma once

#include "runtime/tensor/tensor.h"

namespace tandem::runtime::cpu {

void fill_other(Tensor& out, float value);
// Same bytes for equal dtypes; fp64 to and from fp32 and bf16, fp16, floats of 8 bits.
void copy_other(const Tensor& in, Tensor& out);

}  // namespace tandem::runtime::cpu
