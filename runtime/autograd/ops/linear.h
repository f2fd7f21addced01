// y = x · Wᵀ (+ b), the product every layer is made of.
#pragma once

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// x [n, in], weight.value [out, in], bias.value fp32 [out] or null → [n, out] in `out_dtype`.
// The weight may be quantized; the result is of x's type then. Saved: x, unless the weight is
// frozen. Backward: dx = dy·W, dW += dyᵀ·x (fp32), db += column sums of dy.
Tensor linear(const Tensor& x, Leaf& weight, Leaf* bias, DType out_dtype);
inline Tensor linear(const Tensor& x, Leaf& weight, Leaf* bias = nullptr) {
  return linear(x, weight, bias, x.dtype());
}

// x where the weight's gradient needs it, else nothing.
Saved saved_for_weight(const Tensor& x, const Leaf& weight);
// The two halves of the backward, for layers that start communication between them.
Tensor linear_grad_input(const Tensor& dy, const Leaf& weight);
void linear_grad_weight(const Tensor& dy, const Tensor& x, Leaf& weight, Leaf* bias);

}  // namespace tandem::runtime
