#include "rl/statistics.h"

#include <array>
#include <cmath>

#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

constexpr double kWhiteningEpsilon = 1e-8;

std::span<const float> counted(const TokenValues& values, std::span<const std::size_t> counts,
                               std::size_t i) {
  const std::span<const float> all(values[i]);
  if (counts.empty()) return all;
  TANDEM_CHECK(counts[i] <= all.size(), "sequence {} has {} values, {} counted", i, all.size(),
               counts[i]);
  return all.first(counts[i]);
}

void reduce(const GlobalSum& global_sum, std::span<double> values) {
  if (global_sum) global_sum(values);
}

}  // namespace

Moments masked_moments(const TokenValues& values, std::span<const std::size_t> counts,
                       const GlobalSum& global_sum) {
  TANDEM_CHECK(counts.empty() || counts.size() == values.size(), "{} sequences, {} counts",
               values.size(), counts.size());
  std::array<double, 2> first = {0, 0};  // count, sum
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (const float value : counted(values, counts, i)) {
      first[0] += 1;
      first[1] += value;
    }
  }
  reduce(global_sum, first);
  Moments result{.count = first[0], .mean = first[0] > 0 ? first[1] / first[0] : 0.0};
  std::array<double, 1> squares = {0};
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (const float value : counted(values, counts, i)) {
      squares[0] += (value - result.mean) * (value - result.mean);
    }
  }
  reduce(global_sum, squares);
  if (result.count > 1) result.variance = squares[0] / (result.count - 1);
  return result;
}

Moments moments(std::span<const float> values, const GlobalSum& global_sum) {
  return masked_moments({std::vector<float>(values.begin(), values.end())}, {}, global_sum);
}

void whiten(TokenValues& values, const Moments& moments, MeanShift shift,
            std::span<const std::size_t> counts) {
  const double scale = 1.0 / std::sqrt(moments.variance + kWhiteningEpsilon);
  const double offset = shift == MeanShift::kKeep ? moments.mean : 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t count = counted(values, counts, i).size();
    for (std::size_t t = 0; t < count; ++t) {
      values[i][t] = static_cast<float>((values[i][t] - moments.mean) * scale + offset);
    }
  }
}

}  // namespace tandem::rl
