// Squares of kLanes x kLanes values transposed in registers: what turns rows into the layout that
// products read.
#pragma once

#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

// Lanes of a shuffle of two vectors that swaps the off-diagonal blocks of size `block` of a pair of
// rows `block` apart: the upper row keeps lanes with a clear bit, and takes the lower row's below.
inline I32 upper_mask(int block) {
  I32 mask;
  for (int i = 0; i < kLanes; ++i) mask[i] = (i & block) == 0 ? i : kLanes + i - block;
  return mask;
}
inline I32 lower_mask(int block) {
  I32 mask;
  for (int i = 0; i < kLanes; ++i) mask[i] = (i & block) == 0 ? i + block : kLanes + i;
  return mask;
}

template <int kBlock>
inline void exchange_blocks(F32* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & kBlock) != 0) continue;
    const F32 upper = rows[i], lower = rows[i + kBlock];
    rows[i] = __builtin_shuffle(upper, lower, upper_mask(kBlock));
    rows[i + kBlock] = __builtin_shuffle(upper, lower, lower_mask(kBlock));
  }
}

// rows[i][j] becomes rows[j][i].
inline void transpose_square(F32* rows) {
  if constexpr (kLanes >= 16) exchange_blocks<8>(rows);
  if constexpr (kLanes >= 8) exchange_blocks<4>(rows);
  exchange_blocks<2>(rows);
  exchange_blocks<1>(rows);
}

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
