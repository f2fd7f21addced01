// Sampling is an inverse distribution function over token order: evenly spaced "random" numbers
// must give every token exactly its share.
#include <numeric>

#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::SamplingParams;

// The distribution in double, by its definition: temperature, then the top_k likeliest (lowest
// index among equals), then the shortest prefix of them that holds top_p of what is left.
std::vector<double> distribution(const std::vector<double>& logits, const SamplingParams& params) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  if (params.top_k > 0)
    order.resize(std::min(order.size(), static_cast<std::size_t>(params.top_k)));
  std::vector<double> weights;
  for (const std::size_t token : order)
    weights.push_back(
        std::exp((logits[token] - logits[order[0]]) / static_cast<double>(params.temperature)));
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double kept = 0;
  std::size_t count = 0;
  while (count < order.size() && kept < static_cast<double>(params.top_p) * total)
    kept += weights[count++];
  std::vector<double> result(logits.size());
  for (std::size_t i = 0; i < std::max<std::size_t>(count, 1); ++i)
    result[order[i]] = weights[i] / std::max(kept, weights[0]);
  return result;
}

class Sample : public KernelTest {
 protected:
  std::vector<std::int32_t> draw(const Tensor& logits, const SamplingParams& params,
                                 const std::vector<float>& uniform) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(logits.dim(0)));
    kernels().sample(logits, params, uniform, tokens);
    return tokens;
  }

  void expect_shares(const Tensor& row, const SamplingParams& params) {
    // Enough for the finest shares where a draw is cheap.
    const std::int64_t draws = GetParam() == "simt" ? 80 : 400;
    const std::int64_t vocabulary = row.dim(1);
    Tensor logits = Tensor::empty({draws, vocabulary}, DType::kF32);
    std::vector<float> uniform;
    for (std::int64_t i = 0; i < draws; ++i) {
      Tensor target = logits.rows(i, 1);
      kernels().copy(row, target);
      uniform.push_back((static_cast<float>(i) + 0.5f) / static_cast<float>(draws));
    }
    std::vector<double> share(static_cast<std::size_t>(vocabulary));
    for (const std::int32_t token : draw(logits, params, uniform))
      share.at(static_cast<std::size_t>(token)) += 1.0 / static_cast<double>(draws);
    const std::vector<double> expected = distribution(doubles(row), params);
    for (std::size_t token = 0; token < share.size(); ++token)
      ASSERT_NEAR(share[token], expected[token], 1.01 / static_cast<double>(draws))
          << "token " << token << " of " << vocabulary << ", temperature " << params.temperature
          << ", top_k " << params.top_k << ", top_p " << params.top_p;
  }
};

TEST_P(Sample, every_token_gets_its_share) {
  for (const std::int64_t vocabulary : {1, 2, 7, 33, 131})
    for (const float temperature : {1.0f, 0.5f, 3.0f})
      for (const std::int64_t top_k : {0, 1, 3, 1000})
        for (const float top_p : {1.0f, 0.9f, 0.3f, 1e-6f})
          expect_shares(random_tensor({1, vocabulary}, "x", DType::kF32, 2.0f),
                        {temperature, top_k, top_p});
}

TEST_P(Sample, equal_logits_are_ranked_by_index) {
  const Tensor row = Tensor::from(std::vector<float>{1, 2, 2, 1, 2, 0, 2, 2}, {1, 8});
  expect_shares(row, {1.0f, 3, 1.0f});
  expect_shares(row, {1.0f, 0, 0.45f});
  EXPECT_EQ(draw(row, {0.0f, 0, 1.0f}, {}), std::vector<std::int32_t>{1});
}

TEST_P(Sample, greedy_takes_the_largest_and_needs_no_random_number) {
  const Tensor rows = Tensor::from(std::vector<float>{0, 3, 1, -5, -7, -6, 9, 9, 9}, {3, 3});
  EXPECT_EQ(draw(rows, {0.0f, 0, 1.0f}, {}), (std::vector<std::int32_t>{1, 0, 0}));
}

TEST_P(Sample, a_masked_token_never_comes) {
  std::vector<float> values(64, -INFINITY);
  values[17] = -1000;
  values[40] = -1000;
  const Tensor row = Tensor::from(values, {1, 64});
  expect_shares(row, {1.0f, 0, 1.0f});
  expect_shares(row, {1.0f, 10, 0.99f});
  EXPECT_EQ(draw(row, {1.0f, 0, 1.0f}, {0.0f}), std::vector<std::int32_t>{17});
  EXPECT_EQ(draw(row, {1.0f, 0, 1.0f}, {0x1.fffffep-1f}), std::vector<std::int32_t>{40});
}

TEST_P(Sample, rows_are_drawn_alone) {
  const Tensor rows = random_tensor({37, 29}, "x");
  std::vector<float> uniform;
  for (std::uint64_t i = 0; i < 37; ++i) uniform.push_back(runtime::Philox(1, "u").uniform(i));
  const SamplingParams params{0.8f, 11, 0.95f};
  const std::vector<std::int32_t> together = draw(rows, params, uniform);
  for (std::int64_t i = 0; i < 37; ++i) {
    const auto row = static_cast<std::size_t>(i);
    EXPECT_EQ(draw(rows.rows(i, 1), params, {uniform[row]})[0], together[row]);
  }
}

TEST_P(Sample, a_low_temperature_is_greedy_in_the_limit) {
  const Tensor rows = random_tensor({20, 100}, "x");
  EXPECT_EQ(draw(rows, {1e-4f, 0, 1.0f}, std::vector<float>(20, 0.999f)), draw(rows, {0.0f}, {}));
}

INSTANTIATE_TEST_SUITE_P(Backends, Sample, testing::ValuesIn(backend_names()), name_of_backend);

}  // namespace
}  // namespace tandem::test
