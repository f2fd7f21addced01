#include "rl/rewards.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"

namespace tandem::rl {

std::vector<float> token_kl(std::span<const float> log_probs, std::span<const float> ref_log_probs,
                            KlEstimator estimator) {
  TANDEM_CHECK(log_probs.size() == ref_log_probs.size(),
               "{} log-probabilities of the policy, {} of the reference", log_probs.size(),
               ref_log_probs.size());
  std::vector<float> kl;
  kl.reserve(log_probs.size());
  for (std::size_t t = 0; t < log_probs.size(); ++t) {
    const double difference = static_cast<double>(log_probs[t]) - ref_log_probs[t];
    kl.push_back(static_cast<float>(
        estimator == KlEstimator::kK1 ? difference : std::expm1(-difference) + difference));
  }
  return kl;
}

float final_score(float score, bool ended_with_eos, const ScoreOptions& options) {
  double result = score;
  if (options.score_clip) result = std::clamp(result, -*options.score_clip, *options.score_clip);
  if (!ended_with_eos) result -= options.missing_eos_penalty;
  return static_cast<float>(result);
}

std::vector<float> step_rewards(std::span<const float> kl, double kl_coefficient, float score,
                                std::size_t steps) {
  TANDEM_CHECK(steps == kl.size() || steps == kl.size() + 1, "{} steps for {} tokens", steps,
               kl.size());
  std::vector<float> rewards(steps, 0.0f);
  for (std::size_t t = 0; t < kl.size(); ++t) {
    rewards[t] = static_cast<float>(-kl_coefficient * kl[t]);
  }
  rewards.back() += score;
  return rewards;
}

}  // namespace tandem::rl
