// Means, variances and whitening over ragged token values, local or over all data-parallel ranks.
//
// Where experience is sharded over ranks, statistics must be those of the whole batch (a rank that
// whitens with its own mean trains another objective than one rank alone would). The functions
// therefore take a GlobalSum; the default, an empty function, is right where every rank holds the
// whole batch.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "rl/rollout.h"

namespace tandem::rl {

// Sums `values` element by element over the data-parallel ranks, in place, with equal bits on all
// of them. Collective: every rank must make the same calls. Not over tensor-parallel ranks, which
// hold copies.
using GlobalSum = std::function<void(std::span<double> values)>;

struct Moments {
  double count = 0;
  double mean = 0;
  double variance = 0;  // unbiased (divided by count − 1); 0 for fewer than two values
};

// Of the first counts[i] values of each sequence (all of them where counts is empty), in two
// passes: no cancellation.
Moments masked_moments(const TokenValues& values, std::span<const std::size_t> counts = {},
                       const GlobalSum& global_sum = {});
Moments moments(std::span<const float> values, const GlobalSum& global_sum = {});

enum class MeanShift { kRemove, kKeep };

// (x − mean) / √(variance + 1e-8), plus the mean again with kKeep (rewards are whitened so: their
// sign and size relative to zero carry meaning). In place, over the same values as `moments`; the
// rest of each sequence is left alone.
void whiten(TokenValues& values, const Moments& moments, MeanShift shift,
            std::span<const std::size_t> counts = {});

}  // namespace tandem::rl
