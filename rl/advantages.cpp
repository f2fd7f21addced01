#include "rl/advantages.h"

#include <cstddef>

#include "runtime/base/error.h"

namespace tandem::rl {

Advantages generalized_advantages(std::span<const float> rewards, std::span<const float> values,
                                  double gamma, double lambda) {
  const std::size_t steps = rewards.size();
  TANDEM_CHECK(values.size() >= steps, "{} values for {} steps", values.size(), steps);
  Advantages result{std::vector<float>(steps), std::vector<float>(steps)};
  double advantage = 0;
  double next_value = 0;
  for (std::size_t t = steps; t-- > 0;) {
    const double delta = rewards[t] + gamma * next_value - values[t];
    advantage = delta + gamma * lambda * advantage;
    next_value = values[t];
    result.advantages[t] = static_cast<float>(advantage);
    result.returns[t] = static_cast<float>(advantage + values[t]);
  }
  return result;
}

}  // namespace tandem::rl
