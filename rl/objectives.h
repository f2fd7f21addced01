// The two losses of PPO (Schulman et al. 2017) as pure functions of per-token numbers, with their
// gradients.
//
// Tokens of a micro-batch come concatenated. As in train/losses.h every number is a share of the
// global mean: sums are divided by the count over *all* ranks and accumulation steps of the
// minibatch, so shares and gradients add up, and a rank with short responses does not weigh its
// tokens more. (TRL averages each micro-batch first; with one micro-batch per minibatch the two
// agree.)
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace tandem::rl {

struct PolicyLossOptions {
  double clip = 0.2;
  // log(new/old) is clamped to ± this before the exponential, so that one token cannot overflow the
  // ratio.
  double log_ratio_clamp = 20.0;
  // For negative advantages the loss is at most dual_clip·|advantage| (Ye et al. 2020, eq. 5); > 1.
  std::optional<double> dual_clip = std::nullopt;
};

struct PolicyLoss {
  double loss = 0;
  double approx_kl = 0;      // ½·(log new − log old)², TRL's estimate of KL(old ‖ new)
  double clip_fraction = 0;  // share of tokens whose gradient the clip removed
  double mean_ratio = 0;
  double max_log_ratio = 0;  // largest |log new − log old| here: not a share; combine by maximum
  std::vector<float> dlog_probs;  // [tokens]
};

// max(−A·r, −A·clip(r, 1 ± clip)) with r = exp(new − old); all spans [tokens].
PolicyLoss policy_loss(std::span<const float> log_probs, std::span<const float> old_log_probs,
                       std::span<const float> advantages, double global_tokens,
                       const PolicyLossOptions& options = {});

struct ValueLoss {
  double loss = 0;
  double clip_fraction = 0;    // share of steps where the clipped error was the larger one
  std::vector<float> dvalues;  // [steps]
};

// ½·max((V − R)², (clip(V, V_old ± clip) − R)²); no clipping where `clip` is empty. All spans
// [steps].
ValueLoss value_loss(std::span<const float> values, std::span<const float> old_values,
                     std::span<const float> returns, double global_steps,
                     std::optional<double> clip);

}  // namespace tandem::rl
