// Several data sets as one, mixed by weight. An epoch has as many samples as all of them together,
// of which a set gives its share by weight, in whole samples. A set whose share is not its size is
// passed through at its own pace: each of its passes has every sample once, in an order of its own,
// and an epoch goes on where the one before stopped; so a small set with a large weight is repeated
// evenly, and of a large one with a small weight nothing is seen twice before all has been seen.
//
// Which sample it is follows from (seed, epoch, index) alone, as the sampler wants it: nothing else
// needs to be saved to resume, under any number of shards.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/datasets/dataset.h"

namespace tandem::data {

// Samples of each set in an epoch: total × weight / Σ weights, by largest remainder, at least 1.
// `sizes` and `weights` are positive.
std::vector<std::int64_t> samples_per_epoch(std::span<const std::int64_t> sizes,
                                            std::span<const double> weights);

class BlendedDataset : public Dataset {
 public:
  // The sets must outlive this object; each holds at least one sample.
  BlendedDataset(std::vector<const Dataset*> sets, std::span<const double> weights,
                 std::uint64_t seed);
  // One after the other, each whole.
  explicit BlendedDataset(std::vector<const Dataset*> sets);

  std::int64_t size() const override { return ends_.back(); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;

  // A sample of this set as one of set `source`.
  struct Place {
    std::size_t source = 0;
    SampleId sample{0};
  };
  Place find(const SampleId& sample) const;

 private:
  std::vector<const Dataset*> sets_;
  std::vector<std::int64_t> counts_;  // samples of each in an epoch
  std::vector<std::int64_t> ends_;    // their running sums
  std::uint64_t seed_ = 0;
};

}  // namespace tandem::data
