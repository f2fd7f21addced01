// The two 8-bit floats against PyTorch's: every code, every bf16 number, and the borders of
// rounding with their neighbours in fp32.
#include "runtime/base/float8.h"

#include <gtest/gtest.h>

#include <cmath>

#include "runtime/kernels/backend.h"
#include "tests/support/golden.h"

namespace tandem::test {
namespace {

using namespace runtime;

template <typename Number>
void expect_codes(const std::vector<float>& values, const Tensor& codes) {
  const auto expected = codes.span<std::uint8_t>();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(Number(values[i]).bits, expected[i]) << values[i];
}

template <typename Number>
void expect_equals_torch(const std::string& name) {
  const SafetensorsFile golden(golden_path("precision.safetensors"));
  const std::vector<float> decoded = golden.read(name + "/decoded").to_vector<float>();
  for (std::size_t code = 0; code < 256; ++code) {
    Number number;
    number.bits = static_cast<std::uint8_t>(code);
    const auto value = static_cast<float>(number);
    if (std::isnan(decoded[code]))
      EXPECT_TRUE(std::isnan(value)) << code;
    else
      EXPECT_EQ(std::bit_cast<std::uint32_t>(value), std::bit_cast<std::uint32_t>(decoded[code]))
          << code;
  }
  std::vector<float> every_bf16(1 << 16);
  for (std::uint32_t i = 0; i < every_bf16.size(); ++i)
    every_bf16[i] = std::bit_cast<float>(i << 16);
  expect_codes<Number>(every_bf16, golden.read(name + "/codes"));
  expect_codes<Number>(golden.read(name + "/borders").to_vector<float>(),
                       golden.read(name + "/border_codes"));
}

TEST(Float8, e4m3_equals_torch) {
  expect_equals_torch<Float8E4M3>("e4m3");
}

TEST(Float8, e5m2_equals_torch) {
  expect_equals_torch<Float8E5M2>("e5m2");
}

TEST(Float8, tensors_convert_to_and_from_it) {
  const Tensor x = Tensor::from(std::vector<float>{0.3f, -500.0f, 1e-3f, 17.0f}, {4});
  const auto through = [&](DType eight, DType back) {
    return x.to(eight).to(back).to(DType::kF32).to_vector<float>();
  };
  for (const DType back : {DType::kF32, DType::kBF16, DType::kF16}) {
    EXPECT_EQ(through(DType::kF8E4M3, back),
              (std::vector<float>{0.3125f, -448.0f, 0x1p-9f, 16.0f}));
    EXPECT_EQ(through(DType::kF8E5M2, back),
              (std::vector<float>{0.3125f, -512.0f, 0x1p-10f, 16.0f}));
  }
}

}  // namespace
}  // namespace tandem::test
