#include "train/losses.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "runtime/base/error.h"

namespace tandem::train {
namespace {

// log σ(x) without overflow on either side.
double log_sigmoid(double x) {
  return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x)));
}

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

}  // namespace

TokenLoss sft_loss(std::span<const float> log_probs, std::span<const float> weights,
                   double global_weight) {
  TANDEM_CHECK(log_probs.size() == weights.size(), "{} log-probabilities, {} weights",
               log_probs.size(), weights.size());
  TokenLoss result;
  result.dlog_probs.assign(log_probs.size(), 0.0f);
  if (global_weight <= 0) return result;
  for (std::size_t i = 0; i < log_probs.size(); ++i) {
    // A masked position may hold anything, also infinity: it must not be multiplied by its zero
    // weight.
    if (weights[i] == 0) continue;
    const double share = weights[i] / global_weight;
    result.loss -= share * log_probs[i];
    result.dlog_probs[i] = static_cast<float>(-share);
  }
  return result;
}

RewardLoss bradley_terry_loss(std::span<const float> chosen, std::span<const float> rejected,
                              std::span<const float> margins, double global_pairs,
                              const PairLossOptions& options) {
  TANDEM_CHECK(chosen.size() == rejected.size(), "{} chosen, {} rejected", chosen.size(),
               rejected.size());
  TANDEM_CHECK(margins.empty() || margins.size() == chosen.size(), "{} pairs, {} margins",
               chosen.size(), margins.size());
  TANDEM_CHECK(chosen.empty() || global_pairs > 0, "global_pairs is {}", global_pairs);
  RewardLoss result;
  result.dchosen.resize(chosen.size());
  result.drejected.resize(chosen.size());
  const double center = options.center_rewards_coefficient;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const double difference = static_cast<double>(chosen[i]) - rejected[i];
    const double logit = difference - (margins.empty() ? 0.0 : margins[i]);
    const double sum = static_cast<double>(chosen[i]) + rejected[i];
    result.loss += (-log_sigmoid(logit) + center * sum * sum) / global_pairs;
    result.accuracy += (difference > 0 ? 1.0 : 0.0) / global_pairs;
    result.margin += difference / global_pairs;
    const double dlogit = -sigmoid(-logit);
    result.dchosen[i] = static_cast<float>((dlogit + 2 * center * sum) / global_pairs);
    result.drejected[i] = static_cast<float>((-dlogit + 2 * center * sum) / global_pairs);
  }
  return result;
}

DpoLoss dpo_loss(const DpoInputs& inputs, double global_pairs, const DpoOptions& options) {
  const std::size_t pairs = inputs.policy_chosen.size();
  TANDEM_CHECK(inputs.policy_rejected.size() == pairs && inputs.reference_chosen.size() == pairs &&
                   inputs.reference_rejected.size() == pairs,
               "sizes {} {} {} {}", pairs, inputs.policy_rejected.size(),
               inputs.reference_chosen.size(), inputs.reference_rejected.size());
  TANDEM_CHECK(pairs == 0 || global_pairs > 0, "global_pairs is {}", global_pairs);
  DpoLoss result;
  result.dchosen.resize(pairs);
  result.drejected.resize(pairs);
  const double smoothing = options.label_smoothing;
  for (std::size_t i = 0; i < pairs; ++i) {
    const double chosen =
        options.beta * (static_cast<double>(inputs.policy_chosen[i]) - inputs.reference_chosen[i]);
    const double rejected = options.beta * (static_cast<double>(inputs.policy_rejected[i]) -
                                            inputs.reference_rejected[i]);
    const double logit = chosen - rejected;
    result.loss +=
        (-(1 - smoothing) * log_sigmoid(logit) - smoothing * log_sigmoid(-logit)) / global_pairs;
    result.chosen_reward += chosen / global_pairs;
    result.rejected_reward += rejected / global_pairs;
    result.accuracy += (logit > 0 ? 1.0 : 0.0) / global_pairs;
    result.margin += logit / global_pairs;
    const double dlogit = -(1 - smoothing) * sigmoid(-logit) + smoothing * sigmoid(logit);
    result.dchosen[i] = static_cast<float>(options.beta * dlogit / global_pairs);
    result.drejected[i] = static_cast<float>(-options.beta * dlogit / global_pairs);
  }
  return result;
}

}  // namespace tandem::train
