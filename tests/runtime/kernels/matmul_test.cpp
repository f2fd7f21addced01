// Products against sums in double, for the shapes at which blocked code goes wrong.
#include <cmath>
#include <numbers>

#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

class Matmul : public KernelTest {};

struct Sizes {
  std::int64_t m, n, k;
};
const std::vector<Sizes> kSizes = {{1, 1, 1},    {1, 17, 3},  {7, 1, 64},  {5, 13, 31},
                                   {16, 16, 16}, {67, 3, 97}, {64, 48, 1}, {129, 65, 33}};

struct Product {
  std::vector<double> values,
      magnitudes;  // Σ a·b and Σ |a·b|: rounding errors scale with the latter
};

Product product_of(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                   const Sizes& s) {
  const std::vector<double> x = doubles(a), y = doubles(b);
  Product result;
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = 0, magnitude = 0;
      for (std::int64_t l = 0; l < s.k; ++l) {
        const double term = x[static_cast<std::size_t>(transpose_a ? l * s.m + i : i * s.k + l)] *
                            y[static_cast<std::size_t>(transpose_b ? j * s.k + l : l * s.n + j)];
        sum += term;
        magnitude += std::abs(term);
      }
      result.values.push_back(sum);
      result.magnitudes.push_back(magnitude);
    }
  return result;
}

void expect_product(const Tensor& out, const Product& expected, double rounding) {
  const std::vector<double> actual = doubles(out);
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_NEAR(actual[i], expected.values[i],
                1e-6 * expected.magnitudes[i] + rounding * std::abs(expected.values[i]) + 1e-30)
        << "element " << i;
}

// Results are rounded once, bf16 to 8 bits, fp16 to 11.
double rounding_of(DType dtype) {
  if (dtype == DType::kF32) return 0.0;
  return dtype == DType::kBF16 ? 0x1.0p-8 : 0x1.0p-11;
}

// Both gradients of a linear layer, each of which may add to what is there.
TEST_P(Matmul, linear_gradients) {
  for (const DType dtype : kComputeTypes)
    for (const Sizes& s : {Sizes{1, 1, 1}, Sizes{6, 16, 31}, Sizes{17, 3, 97}, Sizes{64, 48, 0}})
      for (const bool add_weight : {false, true})
        for (const bool add_bias : {false, true}) {
          SCOPED_TRACE(fmt::format("{} {} {} {} {} {}", s.m, s.n, s.k, name_of(dtype), add_weight,
                                   add_bias));
          const Tensor dy = random_tensor({s.k, s.m}, "dy", dtype),
                       x = random_tensor({s.k, s.n}, "x", dtype);
          const Tensor ones =
              Tensor::from(std::vector<float>(static_cast<std::size_t>(s.k), 1.0f), {s.k, 1});
          Product weight = product_of(dy, true, x, false, s),
                  bias = product_of(dy, true, ones, false, {s.m, 1, s.k});
          Tensor dweight = random_tensor({s.m, s.n}, "dweight"),
                 dbias = random_tensor({s.m}, "dbias");
          const auto add = [](Product& product, const Tensor& before) {
            const std::vector<double> values = doubles(before);
            for (std::size_t i = 0; i < values.size(); ++i) {
              product.values[i] += values[i];
              product.magnitudes[i] += std::abs(values[i]);
            }
          };
          if (add_weight) add(weight, dweight);
          if (add_bias) add(bias, dbias);
          kernels().linear_gradients(dy, x, dweight, add_weight, dbias, add_bias);
          expect_product(dweight, weight, 0);
          expect_product(dbias, bias, 0);
        }
}

double gelu_derivative(double x, bool tanh) {
  if (!tanh)
    return 0.5 * std::erfc(-x / std::sqrt(2.0)) +
           x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
  const double factor = std::sqrt(2 / std::numbers::pi);
  const double t = std::tanh(factor * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * factor * (1 + 3 * 0.044715 * x * x);
}

// The product may be rounded before it is multiplied, or not.
TEST_P(Matmul, gelu_backward_of_a_product) {
  for (const DType dtype : kComputeTypes)
    for (const Sizes& s : {Sizes{1, 1, 1}, Sizes{6, 16, 31}, Sizes{17, 24, 97}, Sizes{5, 13, 31},
                           Sizes{3, 8, 0}, Sizes{0, 8, 3}})
      for (const bool tanh : {true, false}) {
        SCOPED_TRACE(fmt::format("{} {} {} {} tanh {}", s.m, s.n, s.k, name_of(dtype), tanh));
        const Tensor dy = random_tensor({s.m, s.k}, "dy", dtype),
                     weight = random_tensor({s.k, s.n}, "weight", dtype),
                     x = random_tensor({s.m, s.n}, "x", dtype);
        Product expected = product_of(dy, false, weight, false, s);
        const std::vector<double> at = doubles(x);
        for (std::size_t i = 0; i < at.size(); ++i) {
          const double derivative = gelu_derivative(at[i], tanh);
          const double product = expected.values[i];
          expected.values[i] *= derivative;
          expected.magnitudes[i] *= 10 * (std::abs(derivative) + 1);
          // Products that differentiate on the way take the card's tanh of 11 bits.
          if (on_card() && dtype != DType::kF32)
            expected.magnitudes[i] += 0x1p-9 / 1e-6 * std::abs(product);
        }
        Tensor dx = Tensor::empty({s.m, s.n}, dtype);
        kernels().fill(dx, NAN);
        kernels().gelu_backward_of_product(dy, weight, x, tanh, dx);
        expect_product(dx, expected, 2.1 * rounding_of(dtype));
      }
}

TEST_P(Matmul, every_transposition_type_and_size) {
  for (const DType in : kComputeTypes)
    for (const DType to : kComputeTypes)
      for (const bool ta : {false, true})
        for (const bool tb : {false, true})
          for (const Sizes& s : kSizes) {
            if (!may_mix(in, to)) continue;
            SCOPED_TRACE(fmt::format("{}{} {}{} {} {} → {}", s.m, ta ? "ᵀ" : "", s.n, tb ? "ᵀ" : "",
                                     s.k, name_of(in), name_of(to)));
            const Tensor a = random_tensor(ta ? Shape{s.k, s.m} : Shape{s.m, s.k}, "a", in),
                         b = random_tensor(tb ? Shape{s.n, s.k} : Shape{s.k, s.n}, "b", in);
            Tensor out = Tensor::empty({s.m, s.n}, to);
            kernels().fill(out, NAN);  // overwritten, never read
            kernels().matmul(a, ta, b, tb, out);
            expect_product(out, product_of(a, ta, b, tb, s), rounding_of(to));
          }
}

// To a product, what is added to each of its rows.
void add_bias(Product& product, const Tensor& bias, DType to) {
  const std::vector<double> values = doubles(bias);
  for (std::size_t i = 0; i < product.values.size(); ++i) {
    const double value = values[i % values.size()];
    product.values[i] += value;
    product.magnitudes[i] += 4;
    // Some libraries add a bias in the type of the result.
    if (to != DType::kF32) product.magnitudes[i] += 0x1.0p-9 / 1e-6 * std::abs(value);
  }
}

TEST_P(Matmul, accumulates_and_adds_a_bias_per_column) {
  for (const DType in : kComputeTypes)
    for (const DType to : kComputeTypes)
      for (const bool accumulate : {false, true})
        for (const bool with_bias : {false, true}) {
          if (!may_mix(in, to)) continue;
          SCOPED_TRACE(fmt::format("{} → {} accumulate {} bias {}", name_of(in), name_of(to),
                                   accumulate, with_bias));
          const Sizes s{19, 23, 37};
          const Tensor a = random_tensor({s.m, s.k}, "a", in),
                       b = random_tensor({s.n, s.k}, "b", in),
                       bias = with_bias ? random_tensor({s.n}, "bias") : Tensor();
          Tensor out = random_tensor({s.m, s.n}, "out", to);
          Product expected = product_of(a, false, b, true, s);
          const std::vector<double> before = doubles(out);
          for (std::size_t i = 0; i < before.size(); ++i) {
            if (accumulate) expected.values[i] += before[i];
            expected.magnitudes[i] += 4;
          }
          if (with_bias) add_bias(expected, bias, to);
          kernels().matmul(a, false, b, true, out, accumulate, bias);
          expect_product(out, expected, rounding_of(to));
        }
}

double gelu_of(double x, bool tanh) {
  if (!tanh) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

// Largest slope of gelu in either form.
constexpr double kGeluSlope = 1.13;

// gelu may be that of the rounded product, or of the sums.
TEST_P(Matmul, product_and_gelu) {
  for (const bool fusion : {false, true})
    for (const DType dtype : kComputeTypes)
      for (const Sizes& s : {Sizes{1, 1, 1}, Sizes{6, 16, 31}, Sizes{17, 24, 97}, Sizes{5, 13, 31},
                             Sizes{3, 8, 0}, Sizes{0, 8, 3}})
        for (const bool with_bias : {false, true})
          for (const bool tanh : {true, false}) {
            SCOPED_TRACE(fmt::format("{} {} {} {} tanh {} bias {} fusion {}", s.m, s.n, s.k,
                                     name_of(dtype), tanh, with_bias, fusion));
            const Tensor x = random_tensor({s.m, s.k}, "x", dtype),
                         weight = random_tensor({s.n, s.k}, "weight", dtype),
                         bias = with_bias ? random_tensor({s.n}, "bias") : Tensor();
            Tensor product = Tensor::empty({s.m, s.n}, dtype), y = runtime::empty_like(product);
            kernels().fill(product, NAN);
            kernels().fill(y, NAN);
            kernels().set_options({.gelu_fusion = fusion});
            kernels().product_and_gelu(x, weight, bias, tanh, product, y);
            kernels().set_options({});
            Product expected = product_of(x, false, weight, true, s);
            if (with_bias) add_bias(expected, bias, dtype);
            expect_product(product, expected, rounding_of(dtype));
            for (std::size_t i = 0; i < expected.values.size(); ++i) {
              const double sum = expected.values[i];
              expected.values[i] = gelu_of(sum, tanh);
              const double card = on_card() && dtype != DType::kF32 ? 0x1p-10 : 0;
              expected.magnitudes[i] =
                  kGeluSlope *
                  (expected.magnitudes[i] + (rounding_of(dtype) + card) / 1e-6 * std::abs(sum));
            }
            expect_product(y, expected, rounding_of(dtype));
          }
}

TEST_P(Matmul, few_rows) {
  for (const DType in : kComputeTypes)
    for (const DType to : kComputeTypes)
      for (const bool with_bias : {false, true})
        for (const Sizes& s : {Sizes{1, 1, 1}, Sizes{1, 33, 64}, Sizes{2, 17, 31}, Sizes{3, 5, 97},
                               Sizes{4, 16, 16}, Sizes{5, 50, 0}, Sizes{8, 18, 33},
                               Sizes{13, 64, 48}, Sizes{16, 300, 130}, Sizes{65, 9, 20}}) {
          if (!may_mix(in, to)) continue;
          SCOPED_TRACE(fmt::format("{} {} {} {} → {} bias {}", s.m, s.n, s.k, name_of(in),
                                   name_of(to), with_bias));
          const Tensor x = random_tensor({s.m, s.k}, "x", in),
                       weight = random_tensor({s.n, s.k}, "weight", in),
                       bias = with_bias ? random_tensor({s.n}, "bias") : Tensor();
          Tensor out = Tensor::empty({s.m, s.n}, to);
          kernels().fill(out, NAN);
          Product expected = product_of(x, false, weight, true, s);
          if (with_bias) add_bias(expected, bias, to);
          kernels().few_rows_matmul(x, weight, out, bias);
          expect_product(out, expected, rounding_of(to));
        }
}

TEST_P(Matmul, a_sum_over_nothing_is_zero) {
  for (const DType dtype : kComputeTypes) {
    const Tensor a = Tensor::empty({3, 0}, dtype), b = Tensor::empty({0, 5}, dtype),
                 bias = random_tensor({5}, "bias");
    Tensor out = random_tensor({3, 5}, "out", dtype);
    const std::vector<double> before = doubles(out);
    kernels().matmul(a, false, b, false, out, true);
    EXPECT_EQ(doubles(out), before);
    kernels().matmul(a, false, b, false, out);
    EXPECT_EQ(doubles(out), std::vector<double>(15, 0.0));
    kernels().matmul(a, false, b, false, out, false, bias);
    for (std::size_t i = 0; i < 15; ++i)
      EXPECT_NEAR(doubles(out)[i], doubles(bias)[i % 5], 0x1.0p-8 * std::abs(doubles(bias)[i % 5]));
  }
}

// The weight's gradient of a rank without tokens.
TEST_P(Matmul, a_transposed_sum_over_nothing_is_zero) {
  for (const DType dtype : kComputeTypes) {
    const Tensor a = Tensor::empty({0, 64}, dtype), b = Tensor::empty({0, 48}, dtype);
    Tensor out = random_tensor({64, 48}, "out");
    const std::vector<double> before = doubles(out);
    kernels().matmul(a, true, b, false, out, true);
    EXPECT_EQ(doubles(out), before);
    kernels().matmul(a, true, b, false, out);
    EXPECT_EQ(doubles(out), std::vector<double>(before.size(), 0.0));
  }
}

TEST_P(Matmul, no_rows_and_no_columns_are_fine) {
  Tensor a = Tensor::empty({0, 4}, DType::kF32), b = Tensor::empty({4, 3}, DType::kF32),
         out = Tensor::empty({0, 3}, DType::kF32);
  kernels().matmul(a, false, b, false, out);
  a = Tensor::empty({3, 4}, DType::kF32), b = Tensor::empty({4, 0}, DType::kF32),
  out = Tensor::empty({3, 0}, DType::kF32);
  kernels().matmul(a, false, b, false, out);
}

TEST_P(Matmul, works_on_windows_of_larger_tensors) {
  const Tensor a = random_tensor({9, 8}, "a"), b = random_tensor({8, 8}, "b"),
               all = random_tensor({9, 8}, "all");
  const std::vector<float> before = all.to_vector<float>();
  Tensor window = all.rows(2, 3);
  kernels().matmul(a.rows(4, 3), false, b, true, window);
  expect_product(window, product_of(a.rows(4, 3), false, b, true, {3, 8, 8}), 0);
  for (const std::size_t i : {0u, 15u, 40u, 71u})
    EXPECT_EQ(all.span<float>()[i], before[i]) << "outside the window: " << i;
}

// Blocked products divide their sums by the number of threads: equal bits for equal threads, not
// across them.
TEST_P(Matmul, equal_inputs_give_equal_bits) {
  const Tensor a = random_tensor({301, 200}, "a"), b = random_tensor({150, 200}, "b");
  Tensor first = Tensor::empty({301, 150}, DType::kF32);
  kernels().matmul(a, false, b, true, first);
  for (int run = 0; run < 3; ++run) {
    Tensor again = Tensor::empty({301, 150}, DType::kF32);
    kernels().matmul(a.clone(), false, b.clone(), true, again);
    EXPECT_EQ(again.to_vector<float>(), first.to_vector<float>());
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Matmul, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
