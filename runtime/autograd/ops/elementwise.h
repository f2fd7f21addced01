// Sums, multiples, embedding rows, row selection, and work to do on the way back.
#pragma once

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// a + b, same shape. Saves nothing.
Tensor add(const Tensor& a, const Tensor& b);

// factor·x. Saves nothing.
Tensor scale(const Tensor& x, float factor);

// Rows of weight.value [rows, width] for token ids int32 [n]. This rank's rows start at `first_row`
// of the vocabulary; ids outside give zeros, and the vocab-parallel layer adds up. Saved: tokens.
Tensor embedding(const Tensor& tokens, Leaf& weight, std::int64_t first_row = 0);

// x itself. In backward, `work` is done when x's gradient is known, before anything of what x was
// made from is differentiated.
Tensor before_backward(const Tensor& x, std::function<void()> work);

// x[rows[i]] for x [n, width], rows int32 [m] → [m, width]. Saved: rows.
Tensor select_rows(const Tensor& x, const Tensor& rows);

}  // namespace tandem::runtime
