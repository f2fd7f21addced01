#include "rl/rewards.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "rl/kl_controller.h"
#include "rl/reward_normalizer.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"

namespace tandem::rl {
namespace {

TEST(TokenKl, estimators_follow_their_definitions) {
  const std::vector<float> policy = {-1.0f, -2.0f};
  const std::vector<float> reference = {-1.5f, -1.0f};
  const auto k1 = token_kl(policy, reference, KlEstimator::kK1);
  EXPECT_FLOAT_EQ(k1[0], 0.5f);
  EXPECT_FLOAT_EQ(k1[1], -1.0f);
  const auto k3 = token_kl(policy, reference, KlEstimator::kK3);
  EXPECT_FLOAT_EQ(k3[0], static_cast<float>(std::exp(-0.5) - 1 + 0.5));
  EXPECT_FLOAT_EQ(k3[1], static_cast<float>(std::exp(1.0) - 1 - 1));
}

// Both are unbiased: over samples of the policy their mean is the KL.
TEST(TokenKl, estimators_agree_in_expectation) {
  const std::vector<double> policy = {0.5, 0.3, 0.2};
  const std::vector<double> reference = {0.2, 0.3, 0.5};
  double exact = 0, k1 = 0, k3 = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::vector<float> p = {static_cast<float>(std::log(policy[i]))};
    const std::vector<float> r = {static_cast<float>(std::log(reference[i]))};
    exact += policy[i] * std::log(policy[i] / reference[i]);
    k1 += policy[i] * token_kl(p, r, KlEstimator::kK1)[0];
    k3 += policy[i] * token_kl(p, r, KlEstimator::kK3)[0];
  }
  EXPECT_NEAR(k1, exact, 1e-6);
  EXPECT_NEAR(k3, exact, 1e-6);
}

TEST(FinalScore, clips_the_score_and_not_the_penalty) {
  const ScoreOptions options{.score_clip = 2.0, .missing_eos_penalty = 1.5};
  EXPECT_FLOAT_EQ(final_score(5.0f, true, options), 2.0f);
  EXPECT_FLOAT_EQ(final_score(5.0f, false, options), 0.5f);
  EXPECT_FLOAT_EQ(final_score(-5.0f, false, options), -3.5f);
  EXPECT_FLOAT_EQ(final_score(5.0f, false, {}), 5.0f);
}

TEST(StepRewards, put_the_score_on_the_last_step_only) {
  const std::vector<float> kl = {0.5f, -1.0f};
  EXPECT_EQ(step_rewards(kl, 0.1, 2.0f, 2), (std::vector<float>{-0.05f, 2.1f}));
  EXPECT_EQ(step_rewards(kl, 0.1, 2.0f, 3), (std::vector<float>{-0.05f, 0.1f, 2.0f}));
  EXPECT_THROW(step_rewards(kl, 0.1, 2.0f, 4), runtime::InternalError);
}

TEST(KlController, fixed_without_a_target) {
  KlController controller(0.05);
  controller.update(1000.0, 512);
  EXPECT_EQ(controller.coefficient(), 0.05);
}

TEST(KlController, follows_ziegler_with_the_error_clipped) {
  KlController controller(0.2, 6.0, 10000);
  controller.update(6.6, 256);  // error +0.1
  EXPECT_DOUBLE_EQ(controller.coefficient(), 0.2 * (1 + (6.6 / 6.0 - 1) * 256 / 10000));
  const double before = controller.coefficient();
  controller.update(600.0, 256);  // error clipped to +0.2
  EXPECT_DOUBLE_EQ(controller.coefficient(), before * (1 + 0.2 * 256 / 10000));
  const double high = controller.coefficient();
  controller.update(-3.0, 256);  // k1 may be negative: error clipped to −0.2
  EXPECT_DOUBLE_EQ(controller.coefficient(), high * (1 - 0.2 * 256 / 10000));
}

TEST(KlController, state_restores_every_bit) {
  KlController controller(0.1, 3.0, 777);
  for (int i = 0; i < 20; ++i) controller.update(3.0 + 0.1 * i, 33);
  KlController restored(0.1, 3.0, 777);
  restored.load_state(controller.state());
  EXPECT_EQ(restored.coefficient(), controller.coefficient());
}

TEST(KlController, refuses_a_damaged_state) {
  KlController controller(0.1, 3.0);
  for (const char* text : {"", "kl_controller", "kl_controller x", "kl_controller 1 2",
                           "kl_controller nan", "kl_controller 0.1x", "reward_normalizer 1"}) {
    EXPECT_THROW(controller.load_state(text), runtime::Error) << text;
  }
  EXPECT_EQ(controller.coefficient(), 0.1);
}

std::vector<float> drawn_scores(int count) {
  const runtime::Philox random(1, "scores");
  std::vector<float> scores;
  for (int i = 0; i < count; ++i)
    scores.push_back(3 + 2 * random.normal(static_cast<std::uint64_t>(i)));
  return scores;
}

TEST(RewardNormalizer, brings_scores_to_mean_zero_and_deviation_one) {
  const std::vector<float> scores = drawn_scores(500);
  RewardNormalizer normalizer;
  EXPECT_EQ(normalizer.apply(scores), scores);  // before calibration nothing changes
  normalizer.update(scores);
  const Moments after = moments(normalizer.apply(scores));
  EXPECT_NEAR(after.mean, 0.0, 1e-6);
  EXPECT_NEAR(after.variance, 1.0, 1e-6);
}

TEST(RewardNormalizer, batches_add_up_to_the_whole) {
  const std::vector<float> scores = drawn_scores(100);
  RewardNormalizer whole, parts;
  whole.update(scores);
  const std::span<const float> all(scores);
  parts.update(all.first(7));
  parts.update(all.subspan(7, 1));
  parts.update(all.subspan(8));
  EXPECT_EQ(parts.count(), whole.count());
  EXPECT_NEAR(parts.mean(), whole.mean(), 1e-12);
  EXPECT_NEAR(parts.standard_deviation(), whole.standard_deviation(), 1e-12);
}

TEST(RewardNormalizer, state_restores_every_bit) {
  RewardNormalizer normalizer, restored;
  normalizer.update(drawn_scores(37));
  restored.load_state(normalizer.state());
  EXPECT_EQ(restored.apply(drawn_scores(5)), normalizer.apply(drawn_scores(5)));
  EXPECT_EQ(restored.state(), normalizer.state());
}

TEST(RewardNormalizer, equal_scores_do_not_divide_by_zero) {
  RewardNormalizer normalizer;
  const std::vector<float> scores = {2.0f, 2.0f, 2.0f};
  normalizer.update(scores);
  EXPECT_EQ(normalizer.apply(scores), (std::vector<float>{0, 0, 0}));
}

}  // namespace
}  // namespace tandem::rl
