// Products of 8-bit floats: codes, scales and magnitudes are PyTorch's to the bit, on every device;
// products are those of the numbers that codes stand for.
#include <array>
#include <limits>

#include "runtime/base/float8.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::fp8_row;
using runtime::Fp8Matrix;
using runtime::Fp8Sides;
using runtime::largest_of;
using runtime::SafetensorsFile;

class Fp8 : public KernelTest {
 protected:
  Fp8Matrix quantized(const Tensor& x, DType format, float scale, Fp8Sides sides, Tensor& amax) {
    Fp8Matrix out = runtime::empty_fp8(x.shape(), format, sides, {});
    kernels().quantize_fp8(x, Tensor::from(std::vector<float>{scale}, {1}), out, amax);
    return out;
  }
  Fp8Matrix quantized(const Tensor& x, DType format, float scale) {
    Tensor none;
    return quantized(x, format, scale, Fp8Sides::kBoth, none);
  }
};

std::vector<std::uint8_t> bytes_of(const Tensor& codes) {
  const auto* bytes = static_cast<const std::uint8_t*>(codes.raw());
  return {bytes, bytes + codes.bytes()};
}

std::uint8_t code_of(float x, DType format) {
  return format == DType::kF8E4M3 ? runtime::Float8E4M3(x).bits : runtime::Float8E5M2(x).bits;
}

double value_of(std::uint8_t code, DType format) {
  const auto value = [code](auto number) {
    number.bits = code;
    return static_cast<double>(static_cast<float>(number));
  };
  return format == DType::kF8E4M3 ? value(runtime::Float8E4M3()) : value(runtime::Float8E5M2());
}

// `code(i, j)` in the two orders, with zeros behind the ends of rows.
template <typename Code>
void expect_codes(const Fp8Matrix& matrix, std::int64_t rows, std::int64_t columns,
                  const Code& code) {
  const auto by_rows = bytes_of(matrix.rows), by_columns = bytes_of(matrix.columns);
  ASSERT_EQ(std::ssize(by_rows), rows * fp8_row(columns));
  ASSERT_EQ(std::ssize(by_columns), columns * fp8_row(rows));
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < fp8_row(columns); ++j)
      ASSERT_EQ(by_rows[static_cast<std::size_t>(i * fp8_row(columns) + j)],
                j < columns ? code(i, j) : 0)
          << i << ", " << j;
  for (std::int64_t j = 0; j < columns; ++j)
    for (std::int64_t i = 0; i < fp8_row(rows); ++i)
      ASSERT_EQ(by_columns[static_cast<std::size_t>(j * fp8_row(rows) + i)],
                i < rows ? code(i, j) : 0)
          << i << ", " << j << " transposed";
}

float number(const Tensor& one) {
  return one.to_vector<float>().at(0);
}

TEST_P(Fp8, scales_and_codes_of_current_scaling_equal_torch) {
  const SafetensorsFile golden(golden_path("fp8.safetensors"));
  for (const std::string name : {"current", "current_ragged"})
    for (const std::string part : {"x", "w", "dy"}) {
      const DType format = part == "dy" ? DType::kF8E5M2 : DType::kF8E4M3;
      const std::string where = name + "/" + part;
      const Tensor x = golden.read(where).to(DType::kBF16);
      Tensor amax = Tensor::zeros({1}, DType::kF32), scale = Tensor::zeros({1}, DType::kF32), none;
      kernels().add_amax(x, amax);
      kernels().fp8_scale_of(amax, format, scale);
      EXPECT_EQ(number(scale), number(golden.read(where + "_scale"))) << where;
      Fp8Matrix out = runtime::empty_fp8(x.shape(), format, Fp8Sides::kBoth, {});
      kernels().quantize_fp8(x, scale, out, none);
      EXPECT_EQ(number(out.inverse_scale), 1.0f / number(scale));
      const auto expected = golden.read(where + "_codes").to_vector<std::uint8_t>();
      expect_codes(out, x.dim(0), x.dim(1), [&](std::int64_t i, std::int64_t j) {
        return expected[static_cast<std::size_t>(i * x.dim(1) + j)];
      });
    }
}

TEST_P(Fp8, codes_of_delayed_scaling_saturate_and_are_measured_on_the_way) {
  const SafetensorsFile golden(golden_path("fp8.safetensors"));
  const auto amaxes = golden.read("delayed/amaxes").to_vector<float>();
  std::size_t operand = 0;
  for (const std::string part : {"x", "w", "dy"}) {
    const std::string where = "delayed/" + part;
    const Tensor x = golden.read(where);
    Tensor amax = Tensor::zeros({1}, DType::kF32);
    const Fp8Matrix out = quantized(x, part == "dy" ? DType::kF8E5M2 : DType::kF8E4M3,
                                    number(golden.read(where + "_scale")), Fp8Sides::kBoth, amax);
    EXPECT_EQ(number(amax), amaxes[operand++]) << where;
    EXPECT_EQ(bytes_of(out.rows), golden.read(where + "_codes").to_vector<std::uint8_t>());
  }
}

TEST_P(Fp8, any_shape_and_side_has_the_codes_of_single_numbers) {
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const DType format : {DType::kF8E4M3, DType::kF8E5M2})
      for (const auto& shape : {Shape{1, 1}, Shape{3, 16}, Shape{16, 3}, Shape{65, 130},
                                Shape{130, 63}, Shape{64, 64}}) {
        const Tensor x = random_tensor(shape, "x", dtype, 100.0f);
        const auto values = x.to(DType::kF32).to_vector<float>();
        const auto code = [&](std::int64_t i, std::int64_t j) {
          return code_of(values[static_cast<std::size_t>(i * shape[1] + j)] * 0.37f, format);
        };
        const Fp8Matrix both = quantized(x, format, 0.37f);
        expect_codes(both, shape[0], shape[1], code);
        Tensor none;
        const Fp8Matrix rows = quantized(x, format, 0.37f, Fp8Sides::kRows, none),
                        columns = quantized(x, format, 0.37f, Fp8Sides::kColumns, none);
        EXPECT_EQ(bytes_of(rows.rows), bytes_of(both.rows));
        EXPECT_EQ(bytes_of(columns.columns), bytes_of(both.columns));
      }
}

TEST_P(Fp8, what_is_no_number_is_seen_and_infinity_saturates) {
  const float inf = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  const auto seen = [&](const std::vector<float>& values, float before) {
    Tensor amax = Tensor::from(std::vector<float>{before}, {1});
    kernels().add_amax(Tensor::from(values, {static_cast<std::int64_t>(values.size())}), amax);
    return number(amax);
  };
  EXPECT_EQ(seen({-3, 2, 0}, 0), 3);
  EXPECT_EQ(seen({-3, 2, 0}, 5), 5);
  EXPECT_EQ(seen({-inf, 2, 0}, 5), inf);
  EXPECT_TRUE(std::isnan(seen({inf, nan, -inf}, 1)));
  EXPECT_TRUE(std::isnan(seen({1}, nan)));
  const Tensor x = Tensor::from(std::vector<float>{inf, -inf, nan, -0.0f}, {2, 2});
  for (const auto& [format, largest] :
       {std::pair{DType::kF8E4M3, 0x7e}, std::pair{DType::kF8E5M2, 0x7b}}) {
    Tensor amax = Tensor::zeros({1}, DType::kF32);
    const auto codes = bytes_of(quantized(x, format, 1.0f, Fp8Sides::kRows, amax).rows);
    EXPECT_EQ(codes[0], largest);
    EXPECT_EQ(codes[1], largest | 0x80);
    EXPECT_TRUE(std::isnan(value_of(codes[16], format)));
    EXPECT_EQ(codes[17], 0x80);
    EXPECT_TRUE(std::isnan(number(amax)));
  }
  // Scales of magnitudes that say nothing, and of ones whose quotient is too large.
  for (const float amax : {0.0f, inf, nan, 1e-44f}) {
    Tensor scale = Tensor::zeros({1}, DType::kF32);
    kernels().fp8_scale_of(Tensor::from(std::vector<float>{amax}, {1}), DType::kF8E4M3, scale);
    EXPECT_EQ(number(scale), amax == 1e-44f ? std::numeric_limits<float>::max() : 1.0f) << amax;
  }
}

// Relative to the magnitudes of a sum: cards add up products of 8-bit floats to 14 bits before fp32
// takes over. (DeepSeek-V3, 2024)
constexpr double kCardsSums = 0x1p-11;

// Σ_k a[i, k]·b[j, k] of decoded codes, plus bias and what stood there.
void expect_product(const Tensor& actual, const Fp8Matrix& a, DType format_a, const Fp8Matrix& b,
                    const std::vector<double>& bias, const std::vector<double>& before,
                    double bound) {
  const auto x = bytes_of(a.rows), y = bytes_of(b.rows);
  const auto n = static_cast<std::size_t>(actual.dim(1)),
             depth = static_cast<std::size_t>(a.rows.dim(1));
  const double scale = static_cast<double>(number(a.inverse_scale)) * number(b.inverse_scale);
  EXPECT_TRUE(close_to_sums(
      "product", actual, depth,
      [&](std::size_t i, std::size_t j, std::size_t k) {
        return value_of(x[i * depth + k], format_a) * value_of(y[j * depth + k], DType::kF8E4M3) *
               scale;
      },
      [&](std::size_t i, std::size_t j) {
        return std::vector<double>{bias.empty() ? 0.0 : bias[j],
                                   before.empty() ? 0.0 : before[i * n + j]};
      },
      bound));
}

TEST_P(Fp8, products_are_those_of_the_numbers_that_codes_stand_for) {
  const std::vector<std::array<std::int64_t, 3>> sizes = {
      {1, 16, 32}, {5, 7, 3}, {70, 48, 64}, {300, 272, 40}};
  for (const auto& [m, n, k] : sizes)
    for (const DType format : {DType::kF8E4M3, DType::kF8E5M2})
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        const Fp8Matrix a = quantized(random_tensor({m, k}, "a"), format, 90.0f),
                        b = quantized(random_tensor({n, k}, "b", DType::kBF16, 0.1f),
                                      DType::kF8E4M3, 1300.0f);
        const Tensor bias = random_tensor({n}, "bias");
        Tensor out = random_tensor({m, n}, "before", dtype);
        const double bound = tolerance(dtype) + (on_card() ? kCardsSums : 0);
        kernels().fp8_matmul(a.by_rows(), b.by_rows(), out);
        expect_product(out, a, format, b, {}, {}, bound);
        if (dtype == DType::kF32) {
          const auto before = doubles(out);
          kernels().fp8_matmul(a.by_rows(), b.by_rows(), out, true);
          expect_product(out, a, format, b, {}, before, bound);
        } else {
          kernels().fp8_matmul(a.by_rows(), b.by_rows(), out, false, bias);
          expect_product(out, a, format, b, doubles(bias.to(DType::kBF16)), {}, bound);
        }
      }
}

// The three products of a layer, in fp64 and, forward, by torch._scaled_mm.
TEST_P(Fp8, products_of_a_layer_equal_torch) {
  const SafetensorsFile golden(golden_path("fp8.safetensors"));
  for (const std::string name : {"current", "current_ragged", "delayed"}) {
    const auto codes = [&](const std::string& part) {
      return quantized(golden.read(name + "/" + part),
                       part == "dy" ? DType::kF8E5M2 : DType::kF8E4M3,
                       number(golden.read(name + "/" + part + "_scale")));
    };
    const Fp8Matrix x = codes("x"), w = codes("w"), dy = codes("dy");
    const auto expect = [&](const std::string& result, const runtime::Fp8Rows& a,
                            const runtime::Fp8Rows& b) {
      const Tensor expected = golden.read(name + "/" + result);
      Tensor out = Tensor::empty(expected.shape(), DType::kF32);
      kernels().fp8_matmul(a, b, out);
      EXPECT_TRUE(close(name + " " + result, out, expected, on_card() ? 4 * kCardsSums : 1e-6));
    };
    expect("y", x.by_rows(), w.by_rows());
    expect("dx", dy.by_rows(), w.by_columns());
    expect("dw", dy.by_columns(), x.by_columns());
    if (!golden.contains(name + "/scaled_mm")) continue;
    Tensor out = Tensor::empty({x.rows.dim(0), w.rows.dim(0)}, DType::kBF16);
    kernels().fp8_matmul(x.by_rows(), w.by_rows(), out);
    // One rounding to bf16 each.
    EXPECT_TRUE(close("scaled_mm", out, golden.read(name + "/scaled_mm"), 0x1p-8));
  }
}

TEST_P(Fp8, nothing_to_sum_up_gives_zeros_and_leaves_what_is_added_to) {
  const Fp8Matrix a = quantized(Tensor::empty({0, 24}, DType::kBF16), DType::kF8E5M2, 2.0f),
                  b = quantized(Tensor::empty({0, 40}, DType::kBF16), DType::kF8E4M3, 2.0f);
  Tensor out = random_tensor({24, 40}, "out");
  const auto before = out.to_vector<float>();
  kernels().fp8_matmul(a.by_columns(), b.by_columns(), out, true);
  EXPECT_EQ(out.to_vector<float>(), before);
  kernels().fp8_matmul(a.by_columns(), b.by_columns(), out);
  EXPECT_EQ(out.to_vector<float>(), std::vector<float>(24 * 40, 0.0f));
}

TEST_P(Fp8, the_number_of_threads_changes_no_bit_of_codes) {
  const Tensor x = random_tensor({333, 210}, "x", DType::kBF16);
  expect_same_bits_for_any_threads([&] {
    Tensor amax = Tensor::zeros({1}, DType::kF32);
    const Fp8Matrix out = quantized(x, DType::kF8E4M3, 100.0f, Fp8Sides::kBoth, amax);
    return std::vector<Tensor>{out.rows, out.columns, amax};
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, Fp8, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
