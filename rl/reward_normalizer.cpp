#include "rl/reward_normalizer.h"

#include <cmath>

#include "rl/state_text.h"

namespace tandem::rl {

void RewardNormalizer::update(std::span<const float> scores, const GlobalSum& global_sum) {
  const Moments batch = moments(scores, global_sum);
  if (batch.count == 0) return;
  const double total = count_ + batch.count;
  const double shift = batch.mean - mean_;
  mean_ += shift * batch.count / total;
  sum_of_squares_ +=
      batch.variance * (batch.count - 1) + shift * shift * count_ * batch.count / total;
  count_ = total;
}

double RewardNormalizer::standard_deviation() const {
  return count_ > 1 ? std::sqrt(sum_of_squares_ / (count_ - 1)) : 0.0;
}

std::vector<float> RewardNormalizer::apply(std::span<const float> scores) const {
  const double deviation = standard_deviation();
  const double scale = deviation > 0 ? 1.0 / deviation : 1.0;
  std::vector<float> normalized;
  normalized.reserve(scores.size());
  for (const float score : scores) {
    normalized.push_back(static_cast<float>((score - mean_) * scale));
  }
  return normalized;
}

std::string RewardNormalizer::state() const {
  return numbers_to_text("reward_normalizer", {count_, mean_, sum_of_squares_});
}

void RewardNormalizer::load_state(std::string_view text) {
  const std::vector<double> numbers = numbers_from_text("reward_normalizer", text, 3);
  count_ = numbers[0];
  mean_ = numbers[1];
  sum_of_squares_ = numbers[2];
}

}  // namespace tandem::rl
