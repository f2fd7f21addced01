// Root-mean-square normalisation (Zhang & Sennrich 2019) and layer normalisation (Ba et al. 2016),
// alone or fused with the residual addition before it.
#pragma once

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// y = x / sqrt(mean(x²) + eps) · (offset + weight) for x [n, width], weight.value fp32 [width].
// Saved: x, 1/rms.
Tensor rms_norm(const Tensor& x, Leaf& weight, float eps, float offset = 0);

struct AddNormOutput {
  Tensor sum;         // x + residual, the new residual stream
  Tensor normalized;  // the norm of sum
};
// Saved: sum, 1/rms. x and residual receive the same gradient.
AddNormOutput add_rms_norm(const Tensor& x, const Tensor& residual, Leaf& weight, float eps,
                           float offset = 0);

// y = (x − mean) / sqrt(variance + eps) · weight + bias. Saved: x, mean, 1/std.
Tensor layer_norm(const Tensor& x, Leaf& weight, Leaf& bias, float eps);
// Saved: sum, mean, 1/std. x and residual receive the same gradient.
AddNormOutput add_layer_norm(const Tensor& x, const Tensor& residual, Leaf& weight, Leaf& bias,
                             float eps);

}  // namespace tandem::runtime
