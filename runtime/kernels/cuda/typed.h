// runtime/kernels/typed.h with the card's types for bf16 and fp16.
#pragma once

#include <cstdint>
#include <cstring>

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

// What cuda::fill takes for an element of T.
template <typename T>
std::uint64_t bits_as(float value) {
  const auto typed = static_cast<T>(value);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &typed, sizeof typed);
  return bits;
}

}  // namespace tandem::runtime::cuda
