// Pretraining samples as exercises: every segment of a pack becomes a sequence of its own.
#pragma once

#include "data/datasets/pretrain.h"
#include "data/noise/noise.h"

namespace tandem::data {

class NoisyDataset final : public Dataset {
 public:
  // Both must outlive this object.
  NoisyDataset(const PretrainDataset& texts, const Noise& noise, std::uint64_t seed)
      : texts_(texts), noise_(noise), seed_(seed) {}

  std::int64_t size() const override { return texts_.size(); }
  void append(const SampleId& sample, BatchBuilder& batch) const override;

 private:
  const PretrainDataset& texts_;
  const Noise& noise_;
  std::uint64_t seed_;
};

}  // namespace tandem::data
