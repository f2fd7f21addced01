// IEEE half precision: the type of many published weights, which are converted and not computed
// with.
#pragma once

#include <cstdint>

#include "runtime/base/dtype.h"

namespace tandem::runtime {

struct Float16 {
  std::uint16_t bits = 0;

  Float16() = default;
  // Rounded to nearest even; what is too large becomes infinite.
  explicit Float16(float value) : bits(from_float(value)) {}
  explicit operator float() const;

  static std::uint16_t from_float(float value);
};
static_assert(sizeof(Float16) == 2);

template <>
constexpr DType dtype_of<Float16>() {
  return DType::kF16;
}

}  // namespace tandem::runtime
