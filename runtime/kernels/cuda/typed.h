// runtime/kernels/typed.h with the card's types for bf16 and fp16.
#pragma once

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/typed.h"

namespace tandem::runtime::cuda {

// body(T{}) with T = float, Bf16 or Fp16.
template <typename Body>
auto by_type(DType dtype, const Body& body) {
  return by_type_with<Bf16, Fp16>(dtype, body);
}

// body(In{}, Out{})
template <typename Body>
auto by_types(DType in, DType out, const Body& body) {
  return by_types_with<Bf16, Fp16>(in, out, body);
}

}  // namespace tandem::runtime::cuda
