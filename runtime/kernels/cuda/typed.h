// From a tensor's dtype to the C++ type of a kernel.
#pragma once

#include "runtime/kernels/backend.h"
#include "runtime/kernels/cuda/kernels.h"

namespace tandem::runtime::cuda {

// Null for an undefined tensor.
template <typename T>
T* pointer(const Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.raw()) : nullptr;
}

// body(T{}) with T = float or Bf16.
template <typename Body>
auto by_type(DType dtype, const Body& body) {
  TANDEM_CHECK(dtype == DType::kF32 || dtype == DType::kBF16,
               "a kernel for fp32 and bf16 was given {}", name_of(dtype));
  return dtype == DType::kF32 ? body(float{}) : body(Bf16{});
}

// body(In{}, Out{})
template <typename Body>
auto by_types(DType in, DType out, const Body& body) {
  return by_type(in, [&](auto a) { return by_type(out, [&](auto b) { return body(a, b); }); });
}

template <typename T>
HeadRows<T> head_rows(const HeadsView& view) {
  // Null where there are no rows.
  auto* data = static_cast<std::remove_const_t<T>*>(view.rows.raw());
  return {data == nullptr ? nullptr : data + view.offset, view.rows.dim(1), view.heads,
          view.head_dim};
}

inline std::int64_t width_of(const Tensor& x) {
  return x.dim(-1);
}
inline std::int64_t rows_of(const Tensor& x) {
  return width_of(x) == 0 ? 0 : x.elements() / width_of(x);
}

}  // namespace tandem::runtime::cuda
