// Products with quantized matrices against bitsandbytes' dequantised ones, AdamW on moments in 8
// bits, and columns of packed rows.
#include "runtime/quant/dynamic_map.h"
#include "runtime/quant/quantize.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::kMomentBlock;
using runtime::kNf4Block;
using runtime::QuantFormat;
using runtime::QuantizedMatrix;

class Quantized : public KernelTest {};

template <typename T>
Tensor tensor_from(const std::vector<T>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}

QuantizedMatrix int8_of(const Tensor& weight) {
  const auto values = weight.to_vector<float>();
  auto maxima = runtime::block_maxima(values, weight.dim(1));
  std::vector<std::int8_t> codes(values.size());
  runtime::int8_codes(values, maxima, codes);
  for (float& maximum : maxima) maximum = runtime::int8_scale(maximum);
  return {.format = QuantFormat::kInt8,
          .shape = weight.shape(),
          .codes = tensor_from(codes, weight.shape()),
          .scales = tensor_from(maxima, {weight.dim(0)})};
}

QuantizedMatrix nf4_of(const Tensor& weight) {
  const auto values = weight.to_vector<float>();
  const std::int64_t rows = weight.dim(0), blocks = weight.dim(1) / kNf4Block;
  const auto maxima = runtime::block_maxima(values, kNf4Block);
  std::vector<std::uint8_t> packed(values.size() / 2);
  runtime::nf4_codes(values, maxima, packed);
  const runtime::QuantizedScales scales = runtime::quantize_scales(maxima);
  std::vector<float> groups;
  for (const float scale : scales.group_scales) groups.insert(groups.end(), {scale, scales.offset});
  std::vector<std::int32_t> first;
  for (std::int64_t row = 0; row < rows; ++row)
    first.push_back(static_cast<std::int32_t>(row * blocks));
  return {.format = QuantFormat::kNf4,
          .shape = weight.shape(),
          .codes = tensor_from(packed, {rows, weight.dim(1) / 2}),
          .scales = tensor_from(scales.codes, {rows, blocks}),
          .first_block = tensor_from(first, {rows}),
          .groups = tensor_from(groups, {static_cast<std::int64_t>(groups.size()) / 2, 2})};
}

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

TEST_P(Quantized, products_are_those_of_the_numbers_that_codes_stand_for) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t m : {1, 5, 70})
      for (const auto& shape : {Shape{67, 128}, Shape{512, 320}}) {
        const Tensor weight = random_tensor(shape, "weight");
        const Tensor bias = random_tensor({shape[0]}, "bias");
        for (const QuantizedMatrix& matrix : {int8_of(weight), nf4_of(weight)}) {
          const Tensor numbers = runtime::dequantized(matrix);
          const Tensor x = random_tensor({m, shape[1]}, "x", dtype),
                       dy = random_tensor({m, shape[0]}, "dy", dtype);
          Tensor y = Tensor::empty({m, shape[0]}, dtype), dx = Tensor::empty({m, shape[1]}, dtype);
          kernels().quantized_matmul(x, matrix, false, y, bias);
          expect_product(y, x, numbers, false, doubles(bias));
          kernels().quantized_matmul(x, matrix, false, y);
          expect_product(y, x, numbers, false, {});
          kernels().quantized_matmul(dy, matrix, true, dx);
          expect_product(dx, dy, numbers, true, {});
        }
      }
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
