#include "runtime/base/dtype.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/float16.h"

namespace tandem::runtime {
namespace {

const std::vector<DType> kAll = {DType::kF32,    DType::kBF16, DType::kF16, DType::kF8E4M3,
                                 DType::kF8E5M2, DType::kF64,  DType::kI64, DType::kI32,
                                 DType::kI16,    DType::kI8,   DType::kU8,  DType::kBool};

TEST(DType, names_read_back) {
  for (const DType dtype : kAll) {
    EXPECT_EQ(dtype_from_name(name_of(dtype)), dtype);
    EXPECT_EQ(dtype_from_safetensors_name(safetensors_name(dtype)), dtype);
  }
  EXPECT_EQ(name_of(DType::kBF16), "bf16");
  EXPECT_EQ(safetensors_name(DType::kF8E4M3), "F8_E4M3");
}

TEST(DType, sizes_and_kinds) {
  EXPECT_EQ(size_of(DType::kF32), 4);
  EXPECT_EQ(size_of(DType::kBF16), 2);
  EXPECT_EQ(size_of(DType::kF8E5M2), 1);
  EXPECT_EQ(size_of(DType::kF64), 8);
  EXPECT_EQ(size_of(DType::kBool), 1);
  EXPECT_EQ(size_of(dtype_of<std::int16_t>()), 2);
  EXPECT_TRUE(is_floating(DType::kF8E4M3));
  EXPECT_FALSE(is_floating(DType::kI32));
}

TEST(DType, an_unknown_name_is_an_error_that_lists_the_known_ones) {
  try {
    dtype_from_name("float32");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("'float32' (known: fp32, bf16"));
  }
  EXPECT_THROW(dtype_from_safetensors_name("F7"), Error);
}

float round_trip(float value) {
  return static_cast<float>(BFloat16(value));
}

TEST(BFloat16, rounds_to_nearest_and_ties_to_even) {
  EXPECT_EQ(round_trip(1.0f), 1.0f);
  EXPECT_EQ(round_trip(1.0f + 0x1.0p-8f), 1.0f);               // a tie, down to even
  EXPECT_EQ(round_trip(1.0f + 0x1.8p-7f), 1.0f + 0x1.0p-6f);   // a tie, up to even
  EXPECT_EQ(round_trip(1.0f + 0x1.02p-8f), 1.0f + 0x1.0p-7f);  // above the tie
  EXPECT_EQ(round_trip(-1.0f - 0x1.8p-7f), -1.0f - 0x1.0p-6f);
  EXPECT_EQ(round_trip(0x1.0p-133f), 0x1.0p-133f);  // the smallest, denormal
}

TEST(BFloat16, keeps_signs_infinities_and_nan) {
  EXPECT_TRUE(std::signbit(round_trip(-0.0f)));
  EXPECT_EQ(round_trip(INFINITY), INFINITY);
  EXPECT_EQ(round_trip(-3.4e38f), -INFINITY);  // beyond the largest bf16
  EXPECT_TRUE(std::isnan(round_trip(NAN)));
  EXPECT_TRUE(std::isnan(round_trip(std::bit_cast<float>(0x7f800001u))));  // payload in low bits
}

TEST(BFloat16, every_pattern_survives_the_way_through_float) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = std::bit_cast<float>(bits << 16);
    if (std::isnan(value)) continue;
    ASSERT_EQ(BFloat16(value).bits, bits);
  }
}

TEST(Float16, every_pattern_survives_the_way_through_float) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    Float16 half;
    half.bits = static_cast<std::uint16_t>(bits);
    const auto value = static_cast<float>(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(Float16(value))));
      continue;
    }
    ASSERT_EQ(Float16(value).bits, bits);
  }
}

TEST(Float16, rounds_to_nearest_and_ties_to_even) {
  const auto round_trip = [](float value) { return static_cast<float>(Float16(value)); };
  EXPECT_EQ(round_trip(1.0f + 0x1.0p-11f), 1.0f);                // a tie, down to even
  EXPECT_EQ(round_trip(1.0f + 0x1.8p-10f), 1.0f + 0x1.0p-9f);    // a tie, up to even
  EXPECT_EQ(round_trip(1.0f + 0x1.02p-11f), 1.0f + 0x1.0p-10f);  // above the tie
  EXPECT_EQ(round_trip(0x1.0p-25f), 0.0f);                       // half of the smallest
  EXPECT_EQ(round_trip(0x1.8p-24f), 0x1.0p-23f);
  EXPECT_EQ(round_trip(0x1.ff8p-15f), 0x1.ff8p-15f);  // the largest subnormal
  EXPECT_EQ(round_trip(65519.0f), 65504.0f);
  EXPECT_EQ(round_trip(-65520.0f), -INFINITY);
}

}  // namespace
}  // namespace tandem::runtime
