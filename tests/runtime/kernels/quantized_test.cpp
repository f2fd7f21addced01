// Products with quantized matrices against bitsandbytes' dequantised ones, AdamW on moments in 8
// bits, and columns of packed rows.
#include "runtime/quant/dynamic_map.h"
#include "tests/runtime/kernels/kernel_test.h"
#include "tests/support/quantized_matrices.h"

namespace tandem::test {
namespace {

using runtime::kMomentBlock;
using runtime::kNf4Block;
using runtime::QuantizedMatrix;

class Quantized : public KernelTest {};

// Σ_k a[i, k]·b(k, j), and Σ |…|.
void expect_product(const Tensor& actual, const Tensor& a, const Tensor& weight, bool transposed,
                    const std::vector<double>& bias) {
  const auto depth = static_cast<std::size_t>(a.dim(1)),
             width = static_cast<std::size_t>(weight.dim(1));
  const auto x = doubles(a), w = doubles(weight.to(a.dtype()));
  EXPECT_TRUE(close_to_sums(
      "product", actual, depth,
      [&](std::size_t i, std::size_t j, std::size_t k) {
        return x[i * depth + k] * w[transposed ? k * width + j : j * width + k];
      },
      [&](std::size_t, std::size_t j) { return std::vector<double>{bias.empty() ? 0.0 : bias[j]}; },
      tolerance(a.dtype())));
}

// With m rows, both ways.
void expect_products(Backend& kernels, const QuantizedMatrix& matrix, std::int64_t m, DType dtype) {
  SCOPED_TRACE(fmt::format("{} rows of {} with {}", m, name_of(dtype), matrix.shape.str()));
  const std::int64_t rows = matrix.shape[0], columns = matrix.shape[1];
  const Tensor numbers = runtime::dequantized(matrix), bias = random_tensor({rows}, "bias"),
               x = random_tensor({m, columns}, "x", dtype),
               dy = random_tensor({m, rows}, "dy", dtype);
  Tensor y = Tensor::empty({m, rows}, dtype), dx = Tensor::empty({m, columns}, dtype);
  kernels.quantized_matmul(x, matrix, false, y, bias);
  expect_product(y, x, numbers, false, doubles(bias));
  kernels.quantized_matmul(x, matrix, false, y);
  expect_product(y, x, numbers, false, {});
  kernels.quantized_matmul(dy, matrix, true, dx);
  expect_product(dx, dy, numbers, true, {});
}

TEST_P(Quantized, products_are_those_of_the_numbers_that_codes_stand_for) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t m : {1, 5, 70})
      for (const auto& shape : {Shape{67, 128}, Shape{512, 320}}) {
        const Tensor weight = random_tensor(shape, "weight");
        for (const QuantizedMatrix& matrix : {int8_of(weight), nf4_of(weight)})
          expect_products(kernels(), matrix, m, dtype);
      }
}

// Rows of a, about the numbers at which kernels change; rows of the matrix that are longer than
// what a warp reads at a time, and of 8-bit ones that are no whole words.
TEST_P(Quantized, products_of_few_rows) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t m : {0, 1, 2, 4, 15, 16, 17}) {
      expect_products(kernels(), nf4_of(random_tensor({5, 2112}, "weight")), m, dtype);
      for (const Shape& shape : {Shape{9, 1100}, {7, 77}, {3, 1}, {1, 8}})
        expect_products(kernels(), int8_of(random_tensor(shape, "weight")), m, dtype);
    }
}

TEST_P(Quantized, products_with_a_matrix_without_rows) {
  const QuantizedMatrix matrix{.format = runtime::QuantFormat::kInt8,
                               .shape = {0, 8},
                               .codes = Tensor::empty({0, 8}, DType::kI8),
                               .scales = Tensor::empty({0}, DType::kF32)};
  const Tensor x = random_tensor({3, 8}, "x"), none = Tensor::empty({3, 0}, DType::kF32);
  Tensor y = none.clone(), dx = x.clone();
  kernels().quantized_matmul(x, matrix, false, y);
  kernels().quantized_matmul(none, matrix, true, dx);
  EXPECT_EQ(doubles(dx), std::vector<double>(24, 0.0));
}

TEST_P(Quantized, eight_bit_moments_update_as_fp32_ones_and_are_coded_again) {
  for (const std::int64_t n : {1, 300, 1000}) {
    const DType rounded_type = n == 300 ? DType::kF16 : DType::kBF16;
    Tensor master = random_tensor({n}, "p"), twin = master.clone(),
           compute = Tensor::empty({n}, rounded_type), unused;
    const std::int64_t blocks = (n + kMomentBlock - 1) / kMomentBlock;
    const auto moment = [&] {
      return runtime::QuantizedMoment{Tensor::zeros({n}, DType::kU8),
                                      Tensor::zeros({blocks}, DType::kF32)};
    };
    runtime::QuantizedMoment avg = moment(), avg_sq = moment();
    const auto decoded = [&](const runtime::QuantizedMoment& m, const runtime::DynamicMap& map) {
      std::vector<float> values;
      for (std::int64_t i = 0; i < n; ++i)
        values.push_back(map.values[m.codes.data<std::uint8_t>()[i]] *
                         m.maxima.data<float>()[i / kMomentBlock]);
      return Tensor::from(values, {n});
    };
    for (int step = 1; step <= 3; ++step) {
      const Tensor grad = random_tensor({n}, fmt::format("g{}", step));
      const runtime::AdamWStep hyper{
          .learning_rate = 0.1, .weight_decay = 0.1, .grad_scale = 0.5, .step = step};
      Tensor m = decoded(avg, runtime::signed_dynamic_map()),
             v = decoded(avg_sq, runtime::unsigned_dynamic_map());
      runtime::backend_of(m).adamw(twin, grad, m, v, unused, hyper);
      kernels().adamw_8bit(master, grad, avg, avg_sq, compute, hyper);
      EXPECT_TRUE(close("master", master, twin, 1e-6));
      EXPECT_EQ(doubles(compute), doubles(master.to(rounded_type)));
      // Within half the distance of the largest codes, 0.9 / 64 and 0.9 / 128.
      const auto expect_near = [&](const Tensor& actual, const Tensor& expected, double bound) {
        for (std::int64_t begin = 0; begin < n; begin += kMomentBlock) {
          const std::int64_t end = std::min(n, begin + kMomentBlock);
          float largest = 0;
          for (std::int64_t i = begin; i < end; ++i)
            largest = std::max(largest, std::abs(expected.data<float>()[i]));
          for (std::int64_t i = begin; i < end; ++i)
            EXPECT_NEAR(actual.data<float>()[i], expected.data<float>()[i], bound * largest);
        }
      };
      expect_near(decoded(avg, runtime::signed_dynamic_map()), m, 0.0071);
      expect_near(decoded(avg_sq, runtime::unsigned_dynamic_map()), v, 0.0036);
      twin = master.clone();
    }
  }
}

TEST_P(Quantized, bits_do_not_depend_on_threads) {
  const Tensor weight = random_tensor({320, 512}, "weight"), x = random_tensor({33, 512}, "x");
  const QuantizedMatrix matrix = nf4_of(weight);
  expect_same_bits_for_any_threads([&] {
    Tensor y = Tensor::empty({33, 320}, DType::kF32);
    kernels().quantized_matmul(x, matrix, false, y);
    return std::vector<Tensor>{y};
  });
}

// Parts that begin and end at multiples of 16 bytes, and others.
TEST_P(Quantized, columns_are_added_and_taken) {
  struct Case {
    std::int64_t n, width, part, first;
  };
  for (const DType dtype : kComputeTypes)
    for (const auto& [n, width, part, first] : {Case{4, 21, 3, 5},
                                                {4, 21, 19, 2},
                                                {4, 21, 21, 0},
                                                {0, 16, 8, 8},
                                                {300, 24, 8, 16},
                                                {70, 384, 128, 128},
                                                {21, 560, 280, 272},
                                                {21, 560, 280, 3},
                                                {5, 561, 280, 8},
                                                {5, 560, 279, 8}}) {
      SCOPED_TRACE(fmt::format("{} to {} of [{}, {}]", first, first + part, n, width));
      const Tensor x = random_tensor({n, part}, "x", dtype),
                   y = random_tensor({n, width}, "y", dtype);
      Tensor sum = y.clone(), taken = Tensor::empty({n, part}, dtype);
      kernels().add_columns(x, 0.5f, first, sum);
      kernels().take_columns(y, 0.5f, first, taken);
      const auto from = doubles(x), whole = doubles(y);
      std::vector<double> sums = whole, part_of;
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < part; ++j) {
          const auto at = static_cast<std::size_t>(i * width + first + j);
          sums[at] += 0.5 * from[static_cast<std::size_t>(i * part + j)];
          part_of.push_back(0.5 * whole[at]);
        }
      EXPECT_TRUE(close("sum", sum, tensor_of(sums, {n, width}), tolerance(dtype)));
      EXPECT_TRUE(close("taken", taken, tensor_of(part_of, {n, part}), tolerance(dtype)));
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Quantized, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
