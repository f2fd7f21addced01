// runtime/kernels/typed.h with the CPU's types for bf16 and fp16, which are read as their bits, and
// the kernels of a type.
#pragma once

#include "runtime/kernels/cpu/isa_select.h"
#include "runtime/kernels/typed.h"

namespace tandem::runtime::cpu {

template <typename T>
const TypedKernels<T>& typed() {
  if constexpr (std::is_same_v<T, float>)
    return kernel_table().f32;
  else if constexpr (std::is_same_v<T, Bf16Bits>)
    return kernel_table().bf16;
  else
    return kernel_table().fp16;
}

// The first where `condition` holds, else the second.
template <bool condition, typename A, typename B>
const auto& pick(const A& first, const B& second) {
  if constexpr (condition)
    return first;
  else
    return second;
}

template <typename In, typename Out>
const MixedKernels<In, Out>& mixed() {
  constexpr bool in_f32 = std::is_same_v<In, float>, out_f32 = std::is_same_v<Out, float>;
  constexpr bool fp16 = std::is_same_v<In, Fp16Bits> || std::is_same_v<Out, Fp16Bits>;
  const KernelTable& table = kernel_table();
  if constexpr (in_f32 && out_f32)
    return table.f32_f32;
  else if constexpr (in_f32)
    return pick<fp16>(table.f32_fp16, table.f32_bf16);
  else if constexpr (out_f32)
    return pick<fp16>(table.fp16_f32, table.bf16_f32);
  else
    return pick<fp16>(table.fp16_fp16, table.bf16_bf16);
}

// body(T{}) with T = float, Bf16Bits or Fp16Bits.
template <typename Body>
auto by_type(DType dtype, const Body& body) {
  return by_type_with<Bf16Bits, Fp16Bits>(dtype, body);
}

// body(In{}, Out{})
template <typename Body>
auto by_types(DType in, DType out, const Body& body) {
  return by_types_with<Bf16Bits, Fp16Bits>(in, out, body);
}

}  // namespace tandem::runtime::cpu
