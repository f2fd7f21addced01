// The order in which an iteration's rollouts are trained on, as plain data made by a pure function.
//
// Everything is in global sample indices: the permutation is drawn by Philox from (seed, iteration,
// epoch), never from a rank, and each rank takes its slice of each minibatch. So every layout
// trains on the same minibatches, and every rank takes part in the same number of steps with the
// same number of samples (a rank with one sample more would wait for its peers for ever in a
// collective).
#pragma once

#include <cstdint>
#include <vector>

namespace tandem::rl {

struct MinibatchPlanOptions {
  std::int64_t samples = 0;      // rollouts of the iteration, over all ranks
  std::int64_t minibatches = 1;  // optimizer steps per epoch
  std::int64_t epochs = 1;
  std::int64_t data_parallel = 1;
  std::uint64_t seed = 0;
  std::int64_t iteration = 0;
};

struct Minibatch {
  std::int64_t epoch = 0;
  std::int64_t index = 0;             // within the epoch
  std::vector<std::int64_t> samples;  // global indices; rank r of d owns the r-th of d equal slices

  std::vector<std::int64_t> slice(std::int64_t rank, std::int64_t ranks) const;
};

// epochs × minibatches entries, reshuffled in every epoch, each sample once per epoch. Error
// (usage) naming the counts where samples do not divide into minibatches × data_parallel.
std::vector<Minibatch> plan_minibatches(const MinibatchPlanOptions& options);

}  // namespace tandem::rl
