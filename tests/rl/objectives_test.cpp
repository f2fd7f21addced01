#include "rl/objectives.h"

#include <cmath>

#include "rl/advantages.h"
#include "tests/rl/golden.h"

namespace tandem::rl {
namespace {

using testing::expect_gradient;

const std::vector<float> kOld = {-1.0f, -2.0f, -0.5f, -3.0f, -1.5f, -2.5f};
// Ratios inside the interval, above and below it, for both signs of the advantage.
const std::vector<float> kNew = {-1.05f, -1.5f, -0.9f, -2.5f, -2.2f, -2.5f};
const std::vector<float> kAdvantages = {1.0f, 2.0f, -1.0f, -0.5f, 0.75f, -2.0f};

double policy_at(const std::vector<float>& log_probs, const PolicyLossOptions& options) {
  return policy_loss(log_probs, kOld, kAdvantages, 9, options).loss;
}

TEST(PolicyLoss, gradient_matches_finite_differences) {
  const PolicyLossOptions options{.clip = 0.2};
  const PolicyLoss at = policy_loss(kNew, kOld, kAdvantages, 9, options);
  EXPECT_NEAR(at.clip_fraction, 2.0 / 9, 1e-12);
  expect_gradient([&](const auto& x) { return policy_at(x, options); }, kNew, at.dlog_probs);
}

TEST(PolicyLoss, unchanged_policy_has_ratio_one_exactly) {
  const PolicyLoss at = policy_loss(kOld, kOld, kAdvantages, 6);
  EXPECT_EQ(at.mean_ratio, 1.0);
  EXPECT_EQ(at.approx_kl, 0.0);
  EXPECT_EQ(at.max_log_ratio, 0.0);
  EXPECT_EQ(at.clip_fraction, 0.0);
  for (std::size_t t = 0; t < kOld.size(); ++t)
    EXPECT_FLOAT_EQ(at.dlog_probs[t], -kAdvantages[t] / 6);
}

TEST(PolicyLoss, dual_clip_bounds_the_loss_of_negative_advantages) {
  const std::vector<float> old = {-5.0f, -5.0f};
  const std::vector<float> now = {-3.0f, -3.0f};  // ratio e² ≈ 7.4
  const std::vector<float> advantages = {-1.0f, 1.0f};
  const PolicyLoss plain = policy_loss(now, old, advantages, 2, {.clip = 0.2});
  const PolicyLoss dual = policy_loss(now, old, advantages, 2, {.clip = 0.2, .dual_clip = 3.0});
  EXPECT_NEAR(plain.loss, (std::exp(2.0) - 1.2) / 2, 1e-6);
  EXPECT_NEAR(dual.loss, (3.0 - 1.2) / 2, 1e-6);
  EXPECT_NEAR(plain.dlog_probs[0], std::exp(2.0) / 2, 1e-5);
  EXPECT_EQ(dual.dlog_probs[0], 0.0f);
  EXPECT_EQ(dual.dlog_probs[1], 0.0f);
  EXPECT_EQ(dual.clip_fraction, 1.0);
}

TEST(PolicyLoss, log_ratio_clamp_keeps_everything_finite) {
  const std::vector<float> old = {-200.0f};
  const std::vector<float> now = {-1.0f};
  const std::vector<float> advantages = {-1.0f};
  const PolicyLoss at = policy_loss(now, old, advantages, 1, {.log_ratio_clamp = 5.0});
  EXPECT_NEAR(at.loss, std::exp(5.0), 1e-9);
  EXPECT_EQ(at.dlog_probs[0], 0.0f);
  EXPECT_EQ(at.max_log_ratio, 199.0);
}

TEST(PolicyLoss, shares_of_micro_batches_add_up_to_the_whole) {
  const auto part = [](const std::vector<float>& v, int begin, int end) {
    return std::vector<float>(v.begin() + begin, v.begin() + end);
  };
  const PolicyLoss whole = policy_loss(kNew, kOld, kAdvantages, 6);
  PolicyLoss sum;
  for (const auto& [begin, end] : {std::pair{0, 1}, std::pair{1, 6}}) {
    const PolicyLoss share = policy_loss(part(kNew, begin, end), part(kOld, begin, end),
                                         part(kAdvantages, begin, end), 6);
    sum.loss += share.loss;
    sum.approx_kl += share.approx_kl;
    sum.mean_ratio += share.mean_ratio;
    sum.dlog_probs.insert(sum.dlog_probs.end(), share.dlog_probs.begin(), share.dlog_probs.end());
  }
  EXPECT_NEAR(sum.loss, whole.loss, 1e-12);
  EXPECT_NEAR(sum.approx_kl, whole.approx_kl, 1e-12);
  EXPECT_NEAR(sum.mean_ratio, whole.mean_ratio, 1e-12);
  EXPECT_EQ(sum.dlog_probs, whole.dlog_probs);
}

TEST(PolicyLoss, a_local_count_in_place_of_the_global_one_is_a_bug) {
  EXPECT_THROW(policy_loss(kNew, kOld, kAdvantages, 5), runtime::InternalError);
}

TEST(ValueLoss, gradient_matches_finite_differences) {
  const std::vector<float> values = {0.1f, 0.9f, -0.7f, 0.5f};
  const std::vector<float> old = {0.0f, 0.2f, 0.1f, 0.45f};
  const std::vector<float> returns = {0.5f, -0.5f, 1.0f, 1.0f};
  for (const std::optional<double> clip : {std::optional<double>(0.2), std::optional<double>()}) {
    const ValueLoss at = value_loss(values, old, returns, 6, clip);
    expect_gradient([&](const auto& x) { return value_loss(x, old, returns, 6, clip).loss; },
                    values, at.dvalues);
  }
}

TEST(ValueLoss, takes_the_larger_error_when_the_value_ran_towards_the_return) {
  const std::vector<float> values = {1.0f}, old = {0.0f}, returns = {1.0f};
  const ValueLoss at = value_loss(values, old, returns, 1, 0.2);
  EXPECT_NEAR(at.loss, 0.5 * 0.8 * 0.8, 1e-7);
  EXPECT_EQ(at.dvalues[0], 0.0f);
  EXPECT_EQ(at.clip_fraction, 1.0);
}

TEST(Advantages, follow_the_definition) {
  const std::vector<float> rewards = {0.0f, 0.0f, 1.0f};
  const std::vector<float> values = {0.5f, 0.25f, 0.5f, 99.0f};  // the last one belongs to no step
  const Advantages at = generalized_advantages(rewards, values, 0.5, 0.5);
  EXPECT_FLOAT_EQ(at.advantages[2], 0.5f);
  EXPECT_FLOAT_EQ(at.advantages[1], 0.0f + 0.25f * 0.5f);
  EXPECT_FLOAT_EQ(at.advantages[0], 0.125f - 0.5f + 0.25f * 0.125f);
  EXPECT_FLOAT_EQ(at.returns[0], at.advantages[0] + 0.5f);
}

TEST(Advantages, with_lambda_one_returns_are_discounted_sums_of_rewards) {
  const std::vector<float> rewards = {1.0f, 2.0f, 3.0f};
  const std::vector<float> values = {7.0f, -3.0f, 0.5f};
  const Advantages at = generalized_advantages(rewards, values, 0.5, 1.0);
  EXPECT_FLOAT_EQ(at.returns[0], 1.0f + 0.5f * 2.0f + 0.25f * 3.0f);
}

}  // namespace
}  // namespace tandem::rl
