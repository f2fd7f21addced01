// bf16 on the host, as the toolkit's header has it.
#pragma once

#include "cuda_runtime.h"

struct __nv_bfloat16 {
  unsigned short bits;
};

inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) {
  return x.bits;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  return {bits};
}
inline float __bfloat162float(__nv_bfloat16 x) {
  return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}
// To nearest even; every NaN becomes the one that the device makes.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  const unsigned x = __float_as_uint(value);
  if (value != value) return {0x7fff};
  return {static_cast<unsigned short>((x + 0x7fffu + (x >> 16 & 1u)) >> 16)};
}
