// Root-mean-square normalisation, alone or fused with the residual addition before it (Zhang &
// Sennrich 2019).
#pragma once

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// y = x / sqrt(mean(x²) + eps) · weight for x [n, width], weight.value fp32 [width]. Saved: x,
// 1/rms.
Tensor rms_norm(const Tensor& x, Leaf& weight, float eps);

struct AddNormOutput {
  Tensor sum;         // x + residual, the new residual stream
  Tensor normalized;  // rms_norm(sum)
};
// Saved: sum, 1/rms. x and residual receive the same gradient.
AddNormOutput add_rms_norm(const Tensor& x, const Tensor& residual, Leaf& weight, float eps);

}  // namespace tandem::runtime
