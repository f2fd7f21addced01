// fp16 on the host, as the toolkit's header has it.
#pragma once

#include "cuda_runtime.h"
#include "runtime/base/float16.h"

struct __half {
  unsigned short bits;
};

inline unsigned short __half_as_ushort(__half x) {
  return x.bits;
}
inline __half __ushort_as_half(unsigned short bits) {
  return {bits};
}
inline float __half2float(__half x) {
  tandem::runtime::Float16 number;
  number.bits = x.bits;
  return static_cast<float>(number);
}
inline __half __float2half_rn(float value) {
  return {tandem::runtime::Float16::from_float(value)};
}
