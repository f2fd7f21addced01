// IEEE half precision, which the host has no native type for.
#pragma once

#include <bit>
#include <cstdint>

#include "runtime/base/dtype.h"

namespace tandem::runtime {

struct Float16 {
  std::uint16_t bits = 0;

  Float16() = default;
  // Rounded to nearest even; what is too large becomes infinite.
  explicit Float16(float value) : bits(from_float(value)) {}
  explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = bits >> 10 & 0x1Fu;
    const std::uint32_t mantissa = bits & 0x3FFu;
    if (exponent == 0) {  // a multiple of 2⁻²⁴
      const float size = static_cast<float>(mantissa) * 0x1p-24f;
      return sign != 0 ? -size : size;
    }
    const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
    return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
  }

  static std::uint16_t from_float(float value) {
    const auto x = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>(x >> 16 & 0x8000u);
    const std::uint32_t size = x & 0x7FFFFFFFu;
    if (size > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u);   // NaN
    if (size >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 65520 and more
    if (size < 0x38800000u) {  // below 2⁻¹⁴: the sum rounds to a multiple of 2⁻²⁴
      const float sum = std::bit_cast<float>(size) + 0.5f;
      return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(sum) - 0x3F000000u));
    }
    const std::uint32_t rounded = size - 0x38000000u + 0xFFFu + (size >> 13 & 1u);
    return static_cast<std::uint16_t>(sign | rounded >> 13);
  }
};
static_assert(sizeof(Float16) == 2);

template <>
constexpr DType dtype_of<Float16>() {
  return DType::kF16;
}

}  // namespace tandem::runtime
