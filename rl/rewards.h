// From the reward model's score and the two log-probabilities to one reward per step.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "rl/rollout.h"

namespace tandem::rl {

// Estimators of KL(policy ‖ reference) from samples of the policy (Schulman 2020, "Approximating KL
// divergence"). With d = log policy − log reference: k1 = d, unbiased, may be negative; k3 =
// exp(−d) − 1 + d, unbiased, never negative.
enum class KlEstimator { kK1, kK3 };

// [n] nats per token.
std::vector<float> token_kl(std::span<const float> log_probs, std::span<const float> ref_log_probs,
                            KlEstimator estimator);

struct ScoreOptions {
  // Clips the model's score to ±score_clip; the KL term is never clipped, for it is what holds the
  // policy.
  std::optional<double> score_clip = std::nullopt;
  // Subtracted where the response never reached its end of sequence, after clipping so that it
  // cannot be clipped away.
  double missing_eos_penalty = 0;
};

float final_score(float score, bool ended_with_eos, const ScoreOptions& options);

// [steps] = −coefficient·kl per token, 0 in the extra step, and the score added to the last step.
std::vector<float> step_rewards(std::span<const float> kl, double kl_coefficient, float score,
                                std::size_t steps);

}  // namespace tandem::rl
