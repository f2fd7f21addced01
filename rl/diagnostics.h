// Numbers a person watches during RL: whether the critic explains the returns, whether responses
// end, whether the generator and the trainer agree, whether text stays varied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rl/statistics.h"

namespace tandem::rl {

// 1 − Var(returns − values) / Var(returns) over all steps ([sequences][steps]; values may be
// longer). 1 is perfect, 0 no better than a constant, negative worse than one; 0 where the returns
// do not vary.
double explained_variance(const TokenValues& values, const TokenValues& returns,
                          const GlobalSum& global_sum = {});

// Share of rollouts that ended by themselves.
double eos_rate(std::span<const Rollout> rollouts, const GlobalSum& global_sum = {});

// How far the log-probabilities recorded while sampling are from those of the training forward with
// the same weights, in nats. 0 in fp32 on one device; growth is a sign that generation and training
// compute different things.
struct LogProbGap {
  double mean = 0;  // of |rollout − trainer|
  double max = 0;   // over this rank's tokens
};
LogProbGap log_prob_gap(const TokenValues& rollout, const TokenValues& trainer,
                        const GlobalSum& global_sum = {});

// Distinct n-grams divided by all n-grams over a set of texts (Li et al. 2016, distinct-n); words
// are split at white space. 0 where no text has n words.
double distinct_n(std::span<const std::vector<std::int32_t>> token_sequences, std::size_t n);
double distinct_n(std::span<const std::string> texts, std::size_t n);

}  // namespace tandem::rl
