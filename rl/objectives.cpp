#include "rl/objectives.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

// Loss of one token and its derivative with respect to the log-probability.
struct TokenTerm {
  double loss;
  double gradient;
  bool clipped;
};

TokenTerm policy_term(double ratio, double advantage, const PolicyLossOptions& options) {
  const double plain = -advantage * ratio;
  const double clipped = -advantage * std::clamp(ratio, 1 - options.clip, 1 + options.clip);
  // Where the clipped term wins, the ratio is outside the interval and the term is constant.
  TokenTerm term = clipped > plain ? TokenTerm{clipped, 0.0, true} : TokenTerm{plain, plain, false};
  if (options.dual_clip && advantage < 0) {
    const double ceiling = -advantage * *options.dual_clip;
    if (term.loss > ceiling) term = {ceiling, 0.0, true};
  }
  return term;
}

}  // namespace

PolicyLoss policy_loss(std::span<const float> log_probs, std::span<const float> old_log_probs,
                       std::span<const float> advantages, double global_tokens,
                       const PolicyLossOptions& options) {
  const std::size_t tokens = log_probs.size();
  TANDEM_CHECK(old_log_probs.size() == tokens && advantages.size() == tokens, "sizes {} {} {}",
               tokens, old_log_probs.size(), advantages.size());
  TANDEM_CHECK(tokens == 0 || global_tokens >= static_cast<double>(tokens),
               "{} tokens here, {} globally", tokens, global_tokens);
  PolicyLoss result;
  result.dlog_probs.resize(tokens);
  for (std::size_t t = 0; t < tokens; ++t) {
    const double difference = static_cast<double>(log_probs[t]) - old_log_probs[t];
    const bool clamped = std::abs(difference) > options.log_ratio_clamp;
    const double ratio =
        std::exp(std::clamp(difference, -options.log_ratio_clamp, options.log_ratio_clamp));
    const TokenTerm term = policy_term(ratio, advantages[t], options);
    result.loss += term.loss;
    result.approx_kl += 0.5 * difference * difference;
    result.clip_fraction += term.clipped ? 1 : 0;
    result.mean_ratio += ratio;
    result.max_log_ratio = std::max(result.max_log_ratio, std::abs(difference));
    result.dlog_probs[t] = static_cast<float>(clamped ? 0.0 : term.gradient / global_tokens);
  }
  // One division each: an unchanged policy has a mean ratio of exactly 1.
  for (double* sum : {&result.loss, &result.approx_kl, &result.clip_fraction, &result.mean_ratio}) {
    if (tokens > 0) *sum /= global_tokens;
  }
  return result;
}

ValueLoss value_loss(std::span<const float> values, std::span<const float> old_values,
                     std::span<const float> returns, double global_steps,
                     std::optional<double> clip) {
  const std::size_t steps = values.size();
  TANDEM_CHECK(old_values.size() == steps && returns.size() == steps, "sizes {} {} {}", steps,
               old_values.size(), returns.size());
  TANDEM_CHECK(steps == 0 || global_steps >= static_cast<double>(steps),
               "{} steps here, {} globally", steps, global_steps);
  ValueLoss result;
  result.dvalues.resize(steps);
  for (std::size_t t = 0; t < steps; ++t) {
    const double value = values[t];
    const double old_value = old_values[t];
    const double error = value - returns[t];
    const double clipped_error =
        clip ? std::clamp(value, old_value - *clip, old_value + *clip) - returns[t] : error;
    const bool clipped = clipped_error * clipped_error > error * error;
    const double larger = clipped ? clipped_error : error;
    result.loss += 0.5 * larger * larger / global_steps;
    result.clip_fraction += (clipped ? 1.0 : 0.0) / global_steps;
    result.dvalues[t] = static_cast<float>(clipped ? 0.0 : error / global_steps);
  }
  return result;
}

}  // namespace tandem::rl
