// The widest vector of fp32 that the compile flags of this file allow, and the few operations
// kernels need on it.
//
// Every file in this folder is compiled once per instruction set, in a namespace of its own
// (TANDEM_ISA). What it calls must not be shared between those compilations: the linker keeps one
// copy of an inline function, and it could be the AVX-512 one on a machine without. Hence
// everything here has internal linkage, and files of this folder use no inline function or template
// of the standard library or of the project.
#pragma once

#include <cstdint>

#include "runtime/kernels/cpu/kernel_table.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using Bf16 = std::uint16_t;
using Fp16 = Fp16Bits;
using F32 = float __attribute__((vector_size(kLanes * 4)));
using I32 = std::int32_t __attribute__((vector_size(kLanes * 4)));
using U32 = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using U16 = std::uint16_t __attribute__((vector_size(kLanes * 2)));
using F32Half = float __attribute__((vector_size(kLanes * 2)));
using F64Half = double __attribute__((vector_size(kLanes * 4)));

constexpr float kInfinity = __builtin_inff();

inline std::int64_t minimum(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}
inline std::int64_t maximum(std::int64_t a, std::int64_t b) {
  return a > b ? a : b;
}
inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}
inline std::int64_t round_up(std::int64_t a, std::int64_t b) {
  return ceil_div(a, b) * b;
}

// With the intrinsics one instruction; a loop over lanes becomes eight on AVX2.
inline F32 broadcast(float x) {
#if defined(__AVX512F__)
  return (F32)_mm512_set1_ps(x);
#elif defined(__AVX2__)
  return (F32)_mm256_set1_ps(x);
#else
  return F32{x, x, x, x};
#endif
}

// ---- conversion

inline F32 widen(U16 x) {
  return (F32)(__builtin_convertvector(x, U32) << 16);
}

// Rounds to nearest even; NaN stays NaN.
inline U16 narrow(F32 x) {
#if defined(__AVX512BF16__)
  return (U16)_mm512_cvtneps_pbh((__m512)x);
#else
  const U32 bits = (U32)x;
  const U32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const U32 nan = (bits >> 16) | 0x40u;
  return __builtin_convertvector(x == x ? rounded : nan, U16);
#endif
}

inline F32 widen_fp16(U16 x) {
#if defined(__AVX512F__)
  return (F32)_mm512_cvtph_ps((__m256i)x);
#elif defined(__F16C__)
  return (F32)_mm256_cvtph_ps((__m128i)x);
#else
  const U32 bits = __builtin_convertvector(x, U32);
  const U32 size = (bits & 0x7fffu) << 13;  // the exponent is too small by 112
  const U32 finite = (U32)((F32)size * 0x1p112f), others = size | 0x7f800000u;
  return (F32)((size >= 0x0f800000u ? others : finite) | (bits & 0x8000u) << 16);
#endif
}

// Rounds to nearest even; what is too large becomes infinite.
inline U16 narrow_fp16(F32 x) {
#if defined(__AVX512F__)
  return (U16)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__F16C__)
  return (U16)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const U32 bits = (U32)x, size = bits & 0x7fffffffu;
  // Below 2^-14 the sum rounds to a multiple of 2^-24.
  const U32 small = (U32)((F32)size + 0.5f) - 0x3f000000u;
  const U32 normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
  U32 half = size < 0x38800000u ? small : normal;
  half = size >= 0x477ff000u ? U32{} + 0x7c00u : half;  // 65520 and more
  half = size > 0x7f800000u ? U32{} + 0x7e00u : half;
  return __builtin_convertvector(half | ((bits >> 16) & 0x8000u), U16);
#endif
}

inline float to_float(float x) {
  return x;
}
inline float to_float(Bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  return __builtin_bit_cast(float, bits);
}
inline float to_float(Fp16 x) {
  return widen_fp16(U16{x.bits})[0];
}

// ---- memory

inline F32 load(const float* p) {
  F32 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline F32 load(const Bf16* p) {
  U16 v;
  __builtin_memcpy(&v, p, sizeof v);
  return widen(v);
}
inline F32 load(const Fp16* p) {
  U16 v;
  __builtin_memcpy(&v, p, sizeof v);
  return widen_fp16(v);
}
inline void store(float* p, F32 v) {
  __builtin_memcpy(p, &v, sizeof v);
}
inline void store(Bf16* p, F32 v) {
  const U16 bits = narrow(v);
  __builtin_memcpy(p, &bits, sizeof bits);
}
inline void store(Fp16* p, F32 v) {
  const U16 bits = narrow_fp16(v);
  __builtin_memcpy(p, &bits, sizeof bits);
}

// The first `count` lanes; the others read as zero and are not written.
template <typename T>
inline F32 load(const T* p, std::int64_t count) {
  if (count >= kLanes) return load(p);
  T lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
template <typename T>
inline void store(T* p, F32 v, std::int64_t count) {
  if (count >= kLanes) return store(p, v);
  T lanes[kLanes];
  store(lanes, v);
  for (std::int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}

// ---- arithmetic

// As the x86 instructions: the second operand when one is NaN.
inline F32 max(F32 a, F32 b) {
#if defined(__AVX512F__)
  return (F32)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (F32)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
inline F32 min(F32 a, F32 b) {
#if defined(__AVX512F__)
  return (F32)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (F32)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}
inline F32 sqrt(F32 x) {
#if defined(__AVX512F__)
  return (F32)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (F32)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

// Lanes are added pairwise, so that the order does not depend on the compiler.
inline float sum(F32 v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
inline double sum(F64Half v) {
  double lanes[kLanes / 2];
  __builtin_memcpy(lanes, &v, sizeof v);
  for (int half = kLanes / 4; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
inline float largest(F32 v) {
  float result = v[0];
  for (int i = 1; i < kLanes; ++i) result = v[i] > result ? v[i] : result;
  return result;
}

inline I32 lane_index() {
  I32 index;
  for (int i = 0; i < kLanes; ++i) index[i] = i;
  return index;
}

// e^x within 2 ulp; 0 below −87.3 (where the result would be denormal), infinity above 88.7, NaN
// for NaN. x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r = 1 + r + r²·q(r), q fitted at Chebyshev nodes
// (error 1e-8).
inline F32 exp(F32 x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62ep-1f;  // few bits: n·high is exact
  constexpr float kLn2Low = 0x1.0bfbe8p-15f;
  constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer, held in the low bits
  const F32 shifted = x * kLog2E + kRound;
  const F32 n = shifted - kRound;
  const F32 r = (x - n * kLn2High) - n * kLn2Low;
  F32 q = r * 0.00139262508315f + 0.00836323288368f;
  q = q * r + 0.041666554213f;
  q = q * r + 0.166665766661f;
  q = q * r + 0.5f;
  const F32 e = q * (r * r) + r + 1.0f;
  // Half of the exponent at a time, since 2^128 has no float.
  // Unsigned, here and below: what overflows is thrown away in the end, but must not be undefined.
  const I32 exponent = (I32)((U32)shifted - (U32)broadcast(kRound));
  const I32 half = exponent >> 1;
  const F32 scale1 = (F32)(((U32)half + 127) << 23);
  const F32 scale2 = (F32)(((U32)exponent - (U32)half + 127) << 23);
  F32 result = e * scale1 * scale2;
  result = x < -87.3f ? F32{} : result;
  result = x > 88.8f ? broadcast(kInfinity) : result;
  return result;
}

// The same for x ≤ 0 (softmax numerators), where two tests fall away.
inline F32 exp_of_negative(F32 x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62ep-1f;
  constexpr float kLn2Low = 0x1.0bfbe8p-15f;
  constexpr float kRound = 0x1.8p23f;
  const F32 shifted = x * kLog2E + kRound;
  const F32 n = shifted - kRound;
  const F32 r = (x - n * kLn2High) - n * kLn2Low;
  F32 q = r * 0.00139262508315f + 0.00836323288368f;
  q = q * r + 0.041666554213f;
  q = q * r + 0.166665766661f;
  q = q * r + 0.5f;
  const F32 e = q * (r * r) + r + 1.0f;
  const F32 result = (F32)((U32)e + (((U32)shifted - (U32)broadcast(kRound)) << 23));
  return x < -87.3f ? F32{} : result;
}

inline F32 sigmoid(F32 x) {
  return 1.0f / (1.0f + exp(-x));
}

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
