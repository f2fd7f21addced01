#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

class Softmax : public KernelTest {};

struct Stats {
  Tensor maximum, sums, lse, log_prob, entropy;
};

TEST_P(Softmax, sums_and_gradient) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t n : {0, 1, 5})
      for (const std::int64_t v : {1, 7, 16, 33, 1024, 4099}) {
        SCOPED_TRACE(fmt::format("[{}, {}] {}", n, v, name_of(dtype)));
        const std::int64_t first = 100;
        const Tensor logits = random_tensor({n, v}, "x", dtype, 4.0f),
                     targets = random_indices(n, v + 200, "t");
        Tensor maximum = Tensor::empty({n}, DType::kF32), sums = Tensor::empty({n, 3}, DType::kF32);
        kernels().row_max(logits, maximum);
        kernels().softmax_sums(logits, maximum, targets, first, sums);
        Tensor lse = empty_like(maximum), log_prob = empty_like(maximum),
               entropy = empty_like(maximum);
        kernels().softmax_stats(maximum, sums, lse, log_prob, entropy);
        const Tensor g_logp = random_tensor({n}, "g"), g_entropy = random_tensor({n}, "h");
        Tensor dx = Tensor::empty({n, v}, DType::kF32),
               dx_rounded = Tensor::empty({n, v}, dtype == DType::kF32 ? DType::kBF16 : dtype),
               dx_plain = empty_like(dx);
        kernels().softmax_backward(logits, lse, targets, first, g_logp, entropy, g_entropy, dx);
        kernels().softmax_backward(logits, lse, targets, first, g_logp, entropy, g_entropy,
                                   dx_rounded);
        kernels().softmax_backward(logits, lse, targets, first, g_logp, {}, {}, dx_plain);

        const std::vector<double> x = doubles(logits);
        std::vector<double> expected, plain;
        for (std::int64_t i = 0; i < n; ++i) {
          const auto row = static_cast<std::size_t>(i), columns = static_cast<std::size_t>(v);
          const double m = *std::max_element(x.begin() + i * v, x.begin() + (i + 1) * v);
          EXPECT_EQ(maximum.span<float>()[row], m);
          double s = 0, sx = 0;
          for (std::size_t j = 0; j < columns; ++j) {
            const double e = std::exp(x[row * columns + j] - m);
            s += e;
            sx += e * (x[row * columns + j] - m);
          }
          const double entropy_of_row = std::log(s) - sx / s;
          const std::int64_t target = targets.span<std::int32_t>()[row] - first;
          const bool local = target >= 0 && target < v;
          EXPECT_NEAR(sums.span<float>()[3 * row], s, 1e-6 * s);
          EXPECT_NEAR(sums.span<float>()[3 * row + 1], sx, 1e-6 * std::abs(sx) + 1e-9);
          EXPECT_NEAR(sums.span<float>()[3 * row + 2],
                      local ? x[row * columns + static_cast<std::size_t>(target)] - m : 0.0, 1e-5);
          EXPECT_NEAR(lse.span<float>()[row], m + std::log(s), 1e-5);
          EXPECT_NEAR(entropy.span<float>()[row], entropy_of_row, 1e-5);
          const double g = g_logp.span<float>()[row], gh = g_entropy.span<float>()[row];
          for (std::size_t j = 0; j < columns; ++j) {
            const double logp = x[row * columns + j] - m - std::log(s), p = std::exp(logp);
            const double hit = static_cast<std::int64_t>(j) == target ? 1.0 : 0.0;
            plain.push_back(g * (hit - p));
            expected.push_back(g * (hit - p) + gh * (-p * (logp + entropy_of_row)));
          }
        }
        EXPECT_TRUE(close("dlogits", dx, tensor_of(expected, {n, v}), 1e-5));
        EXPECT_TRUE(close("dlogits without entropy", dx_plain, tensor_of(plain, {n, v}), 1e-5));
        EXPECT_TRUE(close("dlogits in 16 bits", dx_rounded, tensor_of(expected, {n, v}), 4e-3));
      }
}

// Rising and falling rows, masked stretches, and what is not a number: as the two calls.
TEST_P(Softmax, maximum_and_sums_in_one_call) {
  for (const DType dtype : kComputeTypes)
    for (const std::int64_t v : {1, 7, 16, 33, 1024, 4099, 20000})
      for (const float slope : {0.0f, 0.01f, -0.01f, 0.5f}) {
        SCOPED_TRACE(fmt::format("{} {} slope {}", v, name_of(dtype), slope));
        std::vector<float> values = random_tensor({3 * v}, "x").to_vector<float>();
        for (std::int64_t j = 0; j < 3 * v; ++j) {
          float& value = values[static_cast<std::size_t>(j)];
          value = 4 * value + slope * static_cast<float>(j % v);
          if (j < v && j + 1 != v && j % 64 < 48) value = -INFINITY;
        }
        values[static_cast<std::size_t>(2 * v)] = NAN;
        const Tensor logits = Tensor::from(values, {3, v}).to(dtype),
                     targets = random_indices(3, v + 20, "t");
        Tensor maximum = Tensor::empty({3}, DType::kF32), expected_maximum = empty_like(maximum),
               sums = Tensor::empty({3, 3}, DType::kF32), expected = empty_like(sums);
        kernels().row_max_and_sums(logits, targets, 10, maximum, sums);
        kernels().row_max(logits, expected_maximum);
        kernels().softmax_sums(logits, expected_maximum, targets, 10, expected);
        for (std::size_t row = 0; row < 3; ++row) {
          const float* ours = sums.span<float>().data() + 3 * row;
          const float* wanted = expected.span<float>().data() + 3 * row;
          ASSERT_EQ(std::isnan(ours[0]), row == 2) << "one was no number";
          EXPECT_EQ(std::isnan(wanted[0]), row == 2);
          if (row == 2) continue;
          EXPECT_EQ(maximum.span<float>()[row], expected_maximum.span<float>()[row]);
          for (const int i : {0, 1})
            EXPECT_NEAR(ours[i], wanted[i], 2e-6 * std::abs(wanted[i]) + 1e-9) << row << ' ' << i;
          EXPECT_EQ(ours[2], wanted[2]);
        }
      }
}

TEST_P(Softmax, vocabulary_slices_add_up_to_the_whole) {
  const Tensor logits = random_tensor({3, 50}, "x"),
               targets = Tensor::from(std::vector<std::int32_t>{0, 27, 49}, {3});
  Tensor maximum = Tensor::empty({3}, DType::kF32), whole = Tensor::empty({3, 3}, DType::kF32);
  kernels().row_max(logits, maximum);
  kernels().softmax_sums(logits, maximum, targets, 0, whole);
  std::vector<double> total(9, 0.0);
  for (const auto& [begin, count] : {std::pair{0, 23}, std::pair{23, 27}}) {
    std::vector<float> part;
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < count; ++j)
        part.push_back(logits.span<float>()[static_cast<std::size_t>(i * 50 + begin + j)]);
    Tensor sums = Tensor::empty({3, 3}, DType::kF32);
    kernels().softmax_sums(Tensor::from(part, {3, count}), maximum, targets, begin, sums);
    for (std::size_t i = 0; i < 9; ++i) total[i] += sums.span<float>()[i];
  }
  EXPECT_TRUE(close("sums", tensor_of(total, {3, 3}), whole, 1e-6));
}

TEST_P(Softmax, masked_logits_and_far_tails) {
  const Tensor logits = Tensor::from(std::vector<float>{0.0f, -INFINITY, -200.0f, 0.0f}, {1, 4}),
               target = Tensor::from(std::vector<std::int32_t>{0}, {1});
  Tensor maximum = Tensor::empty({1}, DType::kF32), sums = Tensor::empty({1, 3}, DType::kF32),
         lse = empty_like(maximum), logp = empty_like(maximum), entropy = empty_like(maximum),
         one = Tensor::from(std::vector<float>{1.0f}, {1}), dx = empty_like(logits);
  kernels().row_max(logits, maximum);
  kernels().softmax_sums(logits, maximum, target, 0, sums);
  kernels().softmax_stats(maximum, sums, lse, logp, entropy);
  kernels().softmax_backward(logits, lse, target, 0, one, entropy, one, dx);
  EXPECT_NEAR(entropy.span<float>()[0], std::log(2.0), 1e-6);
  EXPECT_EQ(dx.span<float>()[1], 0.0f);
  EXPECT_EQ(dx.span<float>()[2], 0.0f);
  EXPECT_NEAR(dx.span<float>()[0], 0.5, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Backends, Softmax, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
