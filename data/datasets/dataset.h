// A data set is a list of samples; a sample adds one or more sequences to a batch. The sampler says
// which indices, a stage's loop does the rest:
//
//   Batch batch = make_batch(dataset, sampler.batch(shard, shards));
//
// Implementations: PretrainDataset, NoisyDataset, SftDataset, PreferenceDataset, PromptDataset,
// LabelledDataset, PairDataset.
#pragma once

#include <cstdint>
#include <span>

#include "data/batch.h"
#include "data/sampler.h"

namespace tandem::data {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual void append(const SampleId& sample, BatchBuilder& batch) const = 0;
};

Batch make_batch(const Dataset& dataset, std::span<const SampleId> samples);

// Training and held-out samples of one source. The held-out records are
// round(validation_fraction × records), at least one if the fraction is not 0, chosen by a
// permutation that depends on the number of records alone: the same under every seed, so that runs
// compare.
template <typename T>
struct Split {
  T train;
  T validation;
};

// [records]: true for those held out.
std::vector<bool> choose_validation(std::int64_t records, double validation_fraction);

}  // namespace tandem::data
