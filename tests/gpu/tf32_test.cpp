// Products of fp32 matrices on a card keep their 24 bits until tf32 is asked for.
#include "tests/gpu/card_test.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

class CardProducts : public CardTest {
 protected:
  // Largest error of a product with tf32 or without, relative to Σ |a·b|.
  static double error_of_product(bool tf32) {
    const std::int64_t n = 64, k = 512;
    const Tensor a = random_tensor({n, k}, "a"), b = random_tensor({n, k}, "b");
    runtime::Backend& card = runtime::backend_of(kCard);
    card.set_options({.tf32 = tf32});
    Tensor out = Tensor::empty({n, n}, DType::kF32, kCard);
    card.matmul(a.to(kCard), false, b.to(kCard), true, out);
    const std::vector<double> x = doubles(a), y = doubles(b),
                              got = doubles(out.to(runtime::Device{}));
    double worst = 0;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0, magnitude = 0;
        for (std::int64_t l = 0; l < k; ++l) {
          const double term =
              x[static_cast<std::size_t>(i * k + l)] * y[static_cast<std::size_t>(j * k + l)];
          sum += term;
          magnitude += std::abs(term);
        }
        worst =
            std::max(worst, std::abs(got[static_cast<std::size_t>(i * n + j)] - sum) / magnitude);
      }
    return worst;
  }
};

TEST_F(CardProducts, round_their_factors_only_where_tf32_is_asked_for) {
  EXPECT_LT(error_of_product(false), 1e-6);
  const double rounded = error_of_product(true);
  EXPECT_LT(rounded, 0x1p-10);
  EXPECT_GT(rounded, 1e-6) << "tf32 made no difference";
  EXPECT_LT(error_of_product(false), 1e-6) << "and back";
}

}  // namespace
}  // namespace tandem::test
