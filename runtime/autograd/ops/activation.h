// Activations, plain and gated.
#pragma once

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// silu(gate)·up for gate_up [n, 2f] = gate|up → [n, f] (Shazeer 2020). Saved: gate_up.
Tensor swiglu(const Tensor& gate_up);
// gelu(gate)·up; `tanh` as below. Saved: gate_up.
Tensor geglu(const Tensor& gate_up, bool tanh);

// x·Φ(x); `tanh` is GPT-2's approximation of it. Saved: x (Hendrycks & Gimpel 2016). `made`: the
// output, where the product that x comes from made it too (ops/linear.h).
Tensor gelu(const Tensor& x, bool tanh, Tensor made = {});
// max(x, 0). Saved: x.
Tensor relu(const Tensor& x);
// Saved: the output.
Tensor tanh(const Tensor& x);

}  // namespace tandem::runtime
