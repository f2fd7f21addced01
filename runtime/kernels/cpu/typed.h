// From a tensor's dtype to the C++ type of a kernel.
#pragma once

#include "runtime/kernels/backend.h"
#include "runtime/kernels/cpu/isa_select.h"

namespace tandem::runtime::cpu {

// Null for an undefined tensor. bf16 is read as its bits.
template <typename T>
T* pointer(const Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.raw()) : nullptr;
}

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
  TANDEM_CHECK(dtype == DType::kF32 || dtype == DType::kBF16,
               "a kernel for fp32 and bf16 was given {}", name_of(dtype));
  return dtype == DType::kF32 ? body(float{}) : body(Bf16Bits{});
}

// body(In{}, Out{})
template <typename Body>
auto by_types(DType in, DType out, const Body& body) {
  return by_type(in, [&](auto a) { return by_type(out, [&](auto b) { return body(a, b); }); });
}

template <typename T>
HeadRows<T> head_rows(const HeadsView& view) {
  auto* data = static_cast<std::remove_const_t<T>*>(view.rows.raw());
  return {data + view.offset, view.rows.dim(1), view.heads, view.head_dim};
}

}  // namespace tandem::runtime::cpu
