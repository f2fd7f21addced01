// The two 8-bit floats (Micikevicius et al. 2022): E4M3 without infinities, up to 448, and E5M2
// with the exponents of fp16, up to 57344. Codes are PyTorch's float8_e4m3fn and float8_e5m2; what
// is too large saturates.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "runtime/base/dtype.h"

namespace tandem::runtime {

template <int kMantissaBits, int kBias, std::uint8_t kLargest, bool kHasInfinity>
struct Float8 {
  std::uint8_t bits = 0;

  Float8() = default;
  // Rounded to nearest even.
  explicit Float8(float value) : bits(from_float(value)) {}
  explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x80u) << 24;
    const std::uint32_t size = bits & 0x7fu;
    const std::uint32_t mantissa = (size & ((1u << kMantissaBits) - 1u)) << kShift;
    std::uint32_t exponent = size >> kMantissaBits;
    if (size > kLargest) {
      const bool infinite = kHasInfinity && mantissa == 0;
      return std::bit_cast<float>(sign | (infinite ? 0x7f800000u : 0x7fc00000u));
    }
    if (exponent == 0) {
      const float value = static_cast<float>(size) * kSmallest;
      return sign != 0 ? -value : value;
    }
    exponent += 127u - static_cast<std::uint32_t>(kBias);
    return std::bit_cast<float>(sign | exponent << 23 | mantissa);
  }

  static std::uint8_t from_float(float value) {
    const auto x = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint8_t>(x >> 24 & 0x80u);
    const std::uint32_t size = x & 0x7fffffffu;
    if (size > 0x7f800000u) return static_cast<std::uint8_t>(sign | 0x7fu);  // NaN
    std::uint32_t code;
    if (size < static_cast<std::uint32_t>(128 - kBias) << 23) {
      // Below the smallest normal number the sum rounds to a multiple of kSmallest.
      constexpr float kRound = kSmallest * 0x1p23f;
      code = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + kRound) -
             std::bit_cast<std::uint32_t>(kRound);
    } else {
      code = (size - (static_cast<std::uint32_t>(127 - kBias) << 23) + (1u << (kShift - 1)) - 1u +
              (size >> kShift & 1u)) >>
             kShift;
    }
    return static_cast<std::uint8_t>(sign | std::min<std::uint32_t>(code, kLargest));
  }

 private:
  static constexpr int kShift = 23 - kMantissaBits;
  static constexpr float kSmallest =
      std::bit_cast<float>(static_cast<std::uint32_t>(128 - kBias - kMantissaBits) << 23);
};

using Float8E4M3 = Float8<3, 7, 0x7e, false>;
using Float8E5M2 = Float8<2, 15, 0x7b, true>;
static_assert(sizeof(Float8E4M3) == 1);

template <>
constexpr DType dtype_of<Float8E4M3>() {
  return DType::kF8E4M3;
}
template <>
constexpr DType dtype_of<Float8E5M2>() {
  return DType::kF8E5M2;
}

}  // namespace tandem::runtime
