// Packed sequences to one row each.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// For x [n, width] of sequences with these borders (batch + 1 entries), none empty: the mean of
// each one's rows, fp32 [batch, width]. Sums run in fp32. Saves nothing but the borders.
Tensor segment_mean(const Tensor& x, const std::vector<std::int32_t>& cu_seqlens);

// The largest value of each column in each sequence's rows, fp32 [batch, width]; the gradient goes
// to the first row that has it. Found on the host. Saved: those rows.
Tensor segment_max(const Tensor& x, const std::vector<std::int32_t>& cu_seqlens);

}  // namespace tandem::runtime
