// Sums, gated activation, embedding rows and row selection.
#pragma once

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// a + b, same shape. Saves nothing.
Tensor add(const Tensor& a, const Tensor& b);

// silu(gate)·up for gate_up [n, 2f] = gate|up → [n, f] (Shazeer 2020). Saved: gate_up.
Tensor swiglu(const Tensor& gate_up);

// Rows of weight.value [rows, width] for token ids int32 [n]. This rank's rows start at `first_row`
// of the vocabulary; ids outside give zeros, and the vocab-parallel layer adds up. Saved: tokens.
Tensor embedding(const Tensor& tokens, Leaf& weight, std::int64_t first_row = 0);

// x[rows[i]] for x [n, width], rows int32 [m] → [m, width]. Saved: rows.
Tensor select_rows(const Tensor& x, const Tensor& rows);

}  // namespace tandem::runtime
