// Small matrix products out of cache for attention: c[m, n] (+)= a[m, depth] · b[depth, n] with a
// row-major and b packed, accumulated in registers in tiles of kTileRows x kTileVectors vectors.
//
// A Dot says how one step along the depth multiplies: FloatDot takes one value of each operand,
// Bf16Dot a pair (vdpbf16ps: two bf16 products added into fp32, twice the rate). Packed b is [depth
// / kStep, ldb, kStep].
#pragma once

#include "runtime/kernels/cpu/isa/tile_shape.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

struct FloatDot {
  using Packed = float;
  static constexpr int kStep = 1;
  static F32 multiply_add(F32 sum, const float* a, F32 b) { return sum + broadcast(*a) * b; }
};

#if defined(__AVX512BF16__)
struct Bf16Dot {
  using Packed = Bf16;
  static constexpr int kStep = 2;
  static F32 multiply_add(F32 sum, const Bf16* a, F32 b) {
    std::int32_t pair;
    __builtin_memcpy(&pair, a, sizeof pair);
    return (F32)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)b);
  }
};
#endif

// The products of this ISA for tensors of type T.
template <typename T>
struct DotOf {
  using Type = FloatDot;
};
#if defined(__AVX512BF16__)
template <>
struct DotOf<Bf16> {
  using Type = Bf16Dot;
};
#endif

template <typename Dot, int kRows, int kVectors>
inline void tile(std::int64_t depth, const typename Dot::Packed* a, std::int64_t lda,
                 const typename Dot::Packed* b, std::int64_t ldb, float* c, std::int64_t ldc,
                 bool accumulate) {
  F32 sums[kRows][kVectors] = {};
  if (accumulate) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = load(c + r * ldc + v * kLanes);
  }
  for (std::int64_t k = 0; k < depth; k += Dot::kStep) {
    F32 row[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      __builtin_memcpy(&row[v], b + v * kLanes * Dot::kStep, sizeof(F32));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sums[r][v] = Dot::multiply_add(sums[r][v], a + r * lda + k, row[v]);
    b += ldb * Dot::kStep;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(c + r * ldc + v * kLanes, sums[r][v]);
}

template <typename Dot, int kVectors>
inline void panel(std::int64_t m, std::int64_t depth, const typename Dot::Packed* a,
                  std::int64_t lda, const typename Dot::Packed* b, std::int64_t ldb, float* c,
                  std::int64_t ldc, bool accumulate) {
  std::int64_t i = 0;
  for (; i + kTileRows <= m; i += kTileRows)
    tile<Dot, kTileRows, kVectors>(depth, a + i * lda, lda, b, ldb, c + i * ldc, ldc, accumulate);
  a += i * lda;
  c += i * ldc;
  switch (m - i) {
    case 1:
      return tile<Dot, 1, kVectors>(depth, a, lda, b, ldb, c, ldc, accumulate);
    case 2:
      return tile<Dot, 2, kVectors>(depth, a, lda, b, ldb, c, ldc, accumulate);
    case 3:
      return tile<Dot, 3, kVectors>(depth, a, lda, b, ldb, c, ldc, accumulate);
    case 4:
      return tile<Dot, 4, kVectors>(depth, a, lda, b, ldb, c, ldc, accumulate);
    case 5:
      return tile<Dot, 5, kVectors>(depth, a, lda, b, ldb, c, ldc, accumulate);
    default:
      return;
  }
}

// n is a multiple of kLanes, depth of kStep.
template <typename Dot>
void micro_gemm(std::int64_t m, std::int64_t n, std::int64_t depth, const typename Dot::Packed* a,
                std::int64_t lda, const typename Dot::Packed* b, std::int64_t ldb, float* c,
                std::int64_t ldc, bool accumulate) {
  std::int64_t j = 0;
  for (; j + kTileVectors * kLanes <= n; j += kTileVectors * kLanes)
    panel<Dot, kTileVectors>(m, depth, a, lda, b + j * Dot::kStep, ldb, c + j, ldc, accumulate);
  for (; j < n; j += kLanes)
    panel<Dot, 1>(m, depth, a, lda, b + j * Dot::kStep, ldb, c + j, ldc, accumulate);
}

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
