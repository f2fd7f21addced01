// Parts of packed rows.
#pragma once

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// y [n, width] with factor·x [n, part] added to its columns [first, first + part). Both must be
// fresh, unshared outputs: y and x are overwritten. Saves nothing.
Tensor add_to_columns(const Tensor& y, const Tensor& x, std::int64_t first, float factor);

}  // namespace tandem::runtime
