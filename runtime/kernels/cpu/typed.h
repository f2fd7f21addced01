// runtime/kernels/typed.h with the CPU's type for bf16, which is read as its bits, and the kernels
// of a type.
#pragma once

#include "runtime/kernels/cpu/isa_select.h"
#include "runtime/kernels/typed.h"

namespace tandem::runtime::cpu {

template <typename T>
const TypedKernels<T>& typed() {
  if constexpr (std::is_same_v<T, float>)
    return kernel_table().f32;
  else
    return kernel_table().bf16;
}

template <typename In, typename Out>
const MixedKernels<In, Out>& mixed() {
  constexpr bool in_f32 = std::is_same_v<In, float>, out_f32 = std::is_same_v<Out, float>;
  if constexpr (in_f32 && out_f32)
    return kernel_table().f32_f32;
  else if constexpr (in_f32)
    return kernel_table().f32_bf16;
  else if constexpr (out_f32)
    return kernel_table().bf16_f32;
  else
    return kernel_table().bf16_bf16;
}

// body(T{}) with T = float or Bf16Bits.
template <typename Body>
auto by_type(DType dtype, const Body& body) {
  return by_type_with<Bf16Bits>(dtype, body);
}

// body(In{}, Out{})
template <typename Body>
auto by_types(DType in, DType out, const Body& body) {
  return by_types_with<Bf16Bits>(in, out, body);
}

}  // namespace tandem::runtime::cpu
