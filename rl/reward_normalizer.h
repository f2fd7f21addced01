// Brings the reward model's scores to mean 0 and standard deviation 1, so that a KL coefficient or
// a score clip means the same for every reward model. Statistics come from calibration on samples
// of the starting policy, and then stay (the reward must not drift under the policy's feet), or run
// on over all samples seen. Part of a checkpoint.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rl/statistics.h"

namespace tandem::rl {

class RewardNormalizer {
 public:
  // Adds scores to the statistics (Chan et al. 1979: parallel update of mean and sum of squares).
  void update(std::span<const float> scores, const GlobalSum& global_sum = {});
  // (score − mean) / standard deviation; unchanged before the first update, only centred while the
  // deviation is 0.
  std::vector<float> apply(std::span<const float> scores) const;

  double count() const { return count_; }
  double mean() const { return mean_; }
  double standard_deviation() const;

  std::string state() const;
  void load_state(std::string_view text);

 private:
  double count_ = 0;
  double mean_ = 0;
  double sum_of_squares_ = 0;  // of the deviations from the mean
};

}  // namespace tandem::rl
