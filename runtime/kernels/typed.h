// From tensors and their dtypes to the pointers and C++ types of kernels, for every device.
#pragma once

#include <type_traits>

#include "runtime/kernels/backend.h"
#include "runtime/kernels/kernel_arguments.h"

namespace tandem::runtime {

// Rows and columns of a tensor seen as a matrix: the last dimension is the width.
inline std::int64_t width_of(const Tensor& x) {
  return x.dim(-1);
}
inline std::int64_t rows_of(const Tensor& x) {
  return width_of(x) == 0 ? 0 : x.elements() / width_of(x);
}

// Null for an undefined tensor.
template <typename T>
T* pointer(const Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.raw()) : nullptr;
}

// The types that kernels compute with.
constexpr bool is_compute_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

// body(T{}) with T = float or the device's type for bf16 or fp16.
template <typename Bf16, typename Fp16, typename Body>
auto by_type_with(DType dtype, const Body& body) {
  TANDEM_CHECK(is_compute_dtype(dtype), "a kernel for fp32, bf16 and fp16 was given {}",
               name_of(dtype));
  if (dtype == DType::kF32) return body(float{});
  return dtype == DType::kBF16 ? body(Bf16{}) : body(Fp16{});
}

// body(In{}, Out{}), of which one is float or both are the same.
template <typename Bf16, typename Fp16, typename Body>
auto by_types_with(DType in, DType out, const Body& body) {
  if (in == DType::kF32)
    return by_type_with<Bf16, Fp16>(out, [&](auto b) { return body(float{}, b); });
  if (out == DType::kF32)
    return by_type_with<Bf16, Fp16>(in, [&](auto a) { return body(a, float{}); });
  TANDEM_CHECK(in == out, "a kernel from {} to {}", name_of(in), name_of(out));
  return by_type_with<Bf16, Fp16>(in, [&](auto a) { return body(a, a); });
}

// Of an optimizer's rounded weights, which may be undefined.
inline DType compute_dtype_of(const Tensor& compute) {
  return compute.defined() ? compute.dtype() : DType::kF32;
}

template <typename T>
HeadRows<T> head_rows(const HeadsView& view) {
  // Null where there are no rows.
  auto* data = static_cast<std::remove_const_t<T>*>(view.rows.raw());
  return {data == nullptr ? nullptr : data + view.offset, view.rows.dim(1), view.heads,
          view.head_dim};
}

}  // namespace tandem::runtime
