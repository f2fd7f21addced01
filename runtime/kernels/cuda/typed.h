// runtime/kernels/typed.h with the card's type for bf16.
#pragma once

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/typed.h"

namespace tandem::runtime::cuda {

// body(T{}) with T = float or Bf16.
template <typename Body>
auto by_type(DType dtype, const Body& body) {
  return by_type_with<Bf16>(dtype, body);
}

// body(In{}, Out{})
template <typename Body>
auto by_types(DType in, DType out, const Body& body) {
  return by_types_with<Bf16>(in, out, body);
}

}  // namespace tandem::runtime::cuda
