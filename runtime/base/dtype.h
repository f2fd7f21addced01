// Element types of tensors and files, and the 16-bit float that the CPU has no native type for.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace tandem::runtime {

enum class DType : std::uint8_t {
  kF32,
  kBF16,
  kF16,
  kF8E4M3,
  kF8E5M2,
  kF64,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool
};

// Bytes of one element.
std::int64_t size_of(DType dtype);
// "fp32", "bf16", … as recipes write them.
std::string_view name_of(DType dtype);
// "F32", "BF16", … as safetensors headers write them.
std::string_view safetensors_name(DType dtype);
// Inverses of the two above; throw Error for a name that is not known.
DType dtype_from_name(std::string_view name);
DType dtype_from_safetensors_name(std::string_view name);
bool is_floating(DType dtype);

// Upper half of an IEEE float, rounded to nearest even; NaN stays NaN.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) : bits(from_float(value)) {}
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

  static std::uint16_t from_float(float value) {
    const auto x = std::bit_cast<std::uint32_t>(value);
    if ((x & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((x >> 16) | 0x40u);
    return static_cast<std::uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
  }
};
static_assert(sizeof(BFloat16) == 2);

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kF32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::kF64;
}
template <>
constexpr DType dtype_of<BFloat16>() {
  return DType::kBF16;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::kI64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::kI32;
}
template <>
constexpr DType dtype_of<std::int16_t>() {
  return DType::kI16;
}
template <>
constexpr DType dtype_of<std::int8_t>() {
  return DType::kI8;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::kU8;
}

}  // namespace tandem::runtime
