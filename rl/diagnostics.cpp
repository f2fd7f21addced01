#include "rl/diagnostics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <sstream>

#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

template <typename Token>
double distinct_share(std::span<const std::vector<Token>> sequences, std::size_t n) {
  TANDEM_CHECK(n > 0, "distinct-0 has no meaning");
  std::set<std::vector<Token>> distinct;
  std::size_t total = 0;
  for (const std::vector<Token>& sequence : sequences) {
    for (std::size_t start = 0; start + n <= sequence.size(); ++start) {
      const auto first = sequence.begin() + static_cast<std::ptrdiff_t>(start);
      distinct.emplace(first, first + static_cast<std::ptrdiff_t>(n));
      ++total;
    }
  }
  return total == 0 ? 0.0 : static_cast<double>(distinct.size()) / static_cast<double>(total);
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

}  // namespace

double explained_variance(const TokenValues& values, const TokenValues& returns,
                          const GlobalSum& global_sum) {
  TANDEM_CHECK(values.size() == returns.size(), "{} and {} sequences", values.size(),
               returns.size());
  TokenValues residuals = returns;
  for (std::size_t i = 0; i < residuals.size(); ++i) {
    TANDEM_CHECK(values[i].size() >= returns[i].size(), "sequence {}: {} values, {} returns", i,
                 values[i].size(), returns[i].size());
    for (std::size_t t = 0; t < residuals[i].size(); ++t) residuals[i][t] -= values[i][t];
  }
  const double unexplained = masked_moments(residuals, {}, global_sum).variance;
  const double total = masked_moments(returns, {}, global_sum).variance;
  return total > 0 ? 1 - unexplained / total : 0.0;
}

double eos_rate(std::span<const Rollout> rollouts, const GlobalSum& global_sum) {
  std::array<double, 2> sums = {0, static_cast<double>(rollouts.size())};
  for (const Rollout& rollout : rollouts) sums[0] += rollout.ended_with_eos ? 1 : 0;
  if (global_sum) global_sum(sums);
  return sums[1] > 0 ? sums[0] / sums[1] : 0.0;
}

LogProbGap log_prob_gap(const TokenValues& rollout, const TokenValues& trainer,
                        const GlobalSum& global_sum) {
  TANDEM_CHECK(rollout.size() == trainer.size(), "{} and {} sequences", rollout.size(),
               trainer.size());
  LogProbGap gap;
  std::array<double, 2> sums = {0, 0};
  for (std::size_t i = 0; i < rollout.size(); ++i) {
    TANDEM_CHECK(rollout[i].size() == trainer[i].size(), "sequence {}: {} and {} tokens", i,
                 rollout[i].size(), trainer[i].size());
    for (std::size_t t = 0; t < rollout[i].size(); ++t) {
      const double distance = std::abs(static_cast<double>(rollout[i][t]) - trainer[i][t]);
      gap.max = std::max(gap.max, distance);
      sums[0] += distance;
      sums[1] += 1;
    }
  }
  if (global_sum) global_sum(sums);
  gap.mean = sums[1] > 0 ? sums[0] / sums[1] : 0.0;
  return gap;
}

double distinct_n(std::span<const std::vector<std::int32_t>> token_sequences, std::size_t n) {
  return distinct_share(token_sequences, n);
}

double distinct_n(std::span<const std::string> texts, std::size_t n) {
  std::vector<std::vector<std::string>> sequences;
  for (const std::string& text : texts) sequences.push_back(words_of(text));
  return distinct_share<std::string>(sequences, n);
}

}  // namespace tandem::rl
