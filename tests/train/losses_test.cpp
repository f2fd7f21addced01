// Losses of supervised and preference training against TRL 1.12.0 and against finite differences.
#include "train/losses.h"

#include <cmath>
#include <limits>

#include "tests/rl/golden.h"

namespace tandem::train {
namespace {

using testing::expect_close;
using testing::expect_gradient;
using testing::Golden;

std::vector<float> head(const std::vector<float>& all, std::size_t n) {
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n)};
}
std::vector<float> tail(const std::vector<float>& all, std::size_t n) {
  return {all.end() - static_cast<std::ptrdiff_t>(n), all.end()};
}

struct DpoCase {
  const Golden golden{"trl_losses"};
  std::vector<float> chosen = golden.floats("dpo/chosen_logps");
  std::vector<float> rejected = golden.floats("dpo/rejected_logps");
  std::vector<float> ref_chosen = golden.floats("dpo/ref_chosen_logps");
  std::vector<float> ref_rejected = golden.floats("dpo/ref_rejected_logps");

  DpoLoss operator()(const DpoOptions& options, double global_pairs) const {
    return dpo_loss({chosen, rejected, ref_chosen, ref_rejected}, global_pairs, options);
  }
};

TEST(SftLoss, is_the_mean_over_unmasked_tokens) {
  const std::vector<float> log_probs = {-1.0f, -2.0f, -4.0f, -0.5f};
  const std::vector<float> mask = {0, 1, 1, 0};
  const TokenLoss result = sft_loss(log_probs, mask, 2);
  EXPECT_DOUBLE_EQ(result.loss, 3.0);
  EXPECT_EQ(result.dlog_probs, (std::vector<float>{0, -0.5f, -0.5f, 0}));
}

TEST(SftLoss, gradient_matches_finite_differences) {
  const std::vector<float> log_probs = {-1.0f, -2.0f, -4.0f, -0.5f};
  const std::vector<float> weights = {0.25f, 1, 0, 2};
  expect_gradient([&](const auto& x) { return sft_loss(x, weights, 7).loss; }, log_probs,
                  sft_loss(log_probs, weights, 7).dlog_probs);
}

TEST(SftLoss, a_masked_infinity_does_not_reach_the_loss) {
  const std::vector<float> log_probs = {-std::numeric_limits<float>::infinity(), -2.0f};
  const std::vector<float> mask = {0, 1};
  const TokenLoss result = sft_loss(log_probs, mask, 1);
  EXPECT_DOUBLE_EQ(result.loss, 2.0);
  EXPECT_EQ(result.dlog_probs[0], 0.0f);
}

TEST(SftLoss, a_batch_without_targets_is_zero) {
  const std::vector<float> log_probs = {-1.0f};
  const std::vector<float> mask = {0};
  const TokenLoss result = sft_loss(log_probs, mask, 0);
  EXPECT_EQ(result.loss, 0);
  EXPECT_EQ(result.dlog_probs[0], 0);
}

TEST(SftLoss, shares_of_uneven_micro_batches_add_up_to_the_whole) {
  const std::vector<float> log_probs = {-1.0f, -2.0f, -4.0f, -0.5f, -3.0f};
  const std::vector<float> mask = {1, 1, 0, 1, 1};
  const double whole = sft_loss(log_probs, mask, 4).loss;
  const double parts = sft_loss(head(log_probs, 3), head(mask, 3), 4).loss +
                       sft_loss(tail(log_probs, 2), tail(mask, 2), 4).loss;
  EXPECT_DOUBLE_EQ(whole, parts);
}

TEST(BradleyTerryLoss, equals_trl) {
  const Golden golden("trl_losses");
  const std::vector<float> rewards = golden.floats("reward/rewards");
  const std::vector<float> chosen = head(rewards, 4);
  const std::vector<float> rejected = tail(rewards, 4);
  const std::vector<float> margin = golden.floats("reward/margin");
  const PairLossOptions center{.center_rewards_coefficient = 0.01};
  const auto loss = [&](const std::vector<float>& margins, const PairLossOptions& options) {
    return bradley_terry_loss(chosen, rejected, margins, 4, options).loss;
  };
  EXPECT_NEAR(loss({}, {}), golden.scalar("reward/plain/loss"), 1e-6);
  EXPECT_NEAR(loss({}, center), golden.scalar("reward/center/loss"), 1e-6);
  EXPECT_NEAR(loss(margin, {}), golden.scalar("reward/margin/loss"), 1e-6);
  EXPECT_NEAR(loss(margin, center), golden.scalar("reward/center_margin/loss"), 1e-6);
}

TEST(BradleyTerryLoss, gradients_match_finite_differences) {
  const std::vector<float> chosen = {0.5f, -1.0f, 3.0f};
  const std::vector<float> rejected = {0.25f, 1.0f, -2.0f};
  const std::vector<float> margins = {0.0f, 0.5f, 1.0f};
  const PairLossOptions options{.center_rewards_coefficient = 0.1};
  const RewardLoss at = bradley_terry_loss(chosen, rejected, margins, 5, options);
  expect_gradient(
      [&](const auto& x) { return bradley_terry_loss(x, rejected, margins, 5, options).loss; },
      chosen, at.dchosen);
  expect_gradient(
      [&](const auto& x) { return bradley_terry_loss(chosen, x, margins, 5, options).loss; },
      rejected, at.drejected);
}

TEST(BradleyTerryLoss, counts_accuracy_and_margin_without_the_required_margin) {
  const std::vector<float> chosen = {2.0f, 0.0f, 1.0f};
  const std::vector<float> rejected = {1.0f, 0.0f, 3.0f};
  const std::vector<float> margins = {5.0f, 5.0f, 5.0f};
  const RewardLoss result = bradley_terry_loss(chosen, rejected, margins, 3);
  EXPECT_NEAR(result.accuracy, 1.0 / 3, 1e-12);
  EXPECT_NEAR(result.margin, -1.0 / 3, 1e-12);
}

TEST(BradleyTerryLoss, survives_extreme_scores) {
  const std::vector<float> chosen = {-1e4f};
  const std::vector<float> rejected = {1e4f};
  const RewardLoss result = bradley_terry_loss(chosen, rejected, {}, 1);
  EXPECT_NEAR(result.loss, 2e4, 1e-6);
  EXPECT_FLOAT_EQ(result.dchosen[0], -1.0f);
}

TEST(DpoLoss, equals_trl_without_and_with_label_smoothing) {
  const DpoCase dpo;
  const DpoLoss plain = dpo({.beta = 0.1}, 4);
  EXPECT_NEAR(plain.loss, dpo.golden.scalar("dpo/sigmoid/loss"), 1e-6);
  const DpoLoss smoothed = dpo({.beta = 0.1, .label_smoothing = 0.1}, 4);
  EXPECT_NEAR(smoothed.loss, dpo.golden.scalar("dpo/conservative/loss"), 1e-6);
}

TEST(DpoLoss, rewards_accuracy_and_margin_equal_trl) {
  const DpoCase dpo;
  const std::vector<float> chosen = dpo.golden.floats("dpo/chosen_rewards");
  const std::vector<float> rejected = dpo.golden.floats("dpo/rejected_rewards");
  double mean_chosen = 0, mean_rejected = 0, accuracy = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    mean_chosen += chosen[i] / 4;
    mean_rejected += rejected[i] / 4;
    accuracy += chosen[i] > rejected[i] ? 0.25 : 0;
  }
  const DpoLoss result = dpo({.beta = 0.1}, 4);
  EXPECT_NEAR(result.chosen_reward, mean_chosen, 1e-5);
  EXPECT_NEAR(result.rejected_reward, mean_rejected, 1e-5);
  EXPECT_NEAR(result.margin, mean_chosen - mean_rejected, 1e-5);
  EXPECT_DOUBLE_EQ(result.accuracy, accuracy);
}

TEST(DpoLoss, gradients_match_finite_differences) {
  const DpoCase dpo;
  for (const double smoothing : {0.0, 0.3}) {
    const DpoOptions options{.beta = 0.7, .label_smoothing = smoothing};
    const DpoLoss at = dpo(options, 6);
    DpoCase moved;
    expect_gradient(
        [&](const auto& x) {
          moved.chosen = x;
          return moved(options, 6).loss;
        },
        dpo.chosen, at.dchosen);
    moved.chosen = dpo.chosen;
    expect_gradient(
        [&](const auto& x) {
          moved.rejected = x;
          return moved(options, 6).loss;
        },
        dpo.rejected, at.drejected);
  }
}

TEST(DpoLoss, shares_of_ranks_add_up_to_the_whole) {
  const DpoCase dpo;
  const DpoLoss whole = dpo({}, 4);
  const DpoLoss first = dpo_loss({head(dpo.chosen, 1), head(dpo.rejected, 1),
                                  head(dpo.ref_chosen, 1), head(dpo.ref_rejected, 1)},
                                 4);
  const DpoLoss second = dpo_loss({tail(dpo.chosen, 3), tail(dpo.rejected, 3),
                                   tail(dpo.ref_chosen, 3), tail(dpo.ref_rejected, 3)},
                                  4);
  EXPECT_NEAR(first.loss + second.loss, whole.loss, 1e-12);
  EXPECT_EQ(first.dchosen[0], whole.dchosen[0]);
  EXPECT_EQ(second.drejected[2], whole.drejected[3]);
}

}  // namespace
}  // namespace tandem::train
