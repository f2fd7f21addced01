// Generalised advantage estimation (Schulman et al. 2016) over the steps of one response.
#pragma once

#include <span>
#include <vector>

namespace tandem::rl {

struct Advantages {
  std::vector<float> advantages;  // [steps], unwhitened
  std::vector<float> returns;     // [steps] = advantages + values, from the *unwhitened* advantages
};

// δ_t = r_t + γ·V_{t+1} − V_t, A_t = δ_t + γλ·A_{t+1}; what follows the last step is worth 0 (the
// response is over, and a response that hit the length limit counts as over too). `values` has at
// least as many entries as `rewards`; further ones are not read.
Advantages generalized_advantages(std::span<const float> rewards, std::span<const float> values,
                                  double gamma, double lambda);

}  // namespace tandem::rl
