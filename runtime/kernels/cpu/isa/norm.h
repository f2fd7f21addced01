// What the two normalisations share: parameter gradients as sums over rows in fixed blocks.
#pragma once

#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

// Rows per partial sum: at most 128 partial sums, whatever n.
inline std::int64_t rows_per_block(std::int64_t n) {
  return maximum(32, ceil_div(n, 128));
}

// target[j] (+)= Σ_block partial[block, j], blocks in order.
inline void add_partials(const float* partial, std::int64_t blocks, std::int64_t stride,
                         std::int64_t width, float* target, bool accumulate) {
  for (std::int64_t j = 0; j < width; j += kLanes) {
    F32 total = {};
    for (std::int64_t block = 0; block < blocks; ++block)
      total += load(partial + block * stride + j, width - j);
    if (accumulate) total += load(target + j, width - j);
    store(target + j, total, width - j);
  }
}

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
