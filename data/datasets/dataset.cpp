#include "data/datasets/dataset.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"
#include "runtime/base/random.h"

namespace tandem::data {

Batch make_batch(const Dataset& dataset, std::span<const SampleId> samples) {
  BatchBuilder builder;
  for (const SampleId& sample : samples) {
    TANDEM_CHECK(sample.index >= 0 && sample.index < dataset.size(), "sample {} of {}",
                 sample.index, dataset.size());
    dataset.append(sample, builder);
  }
  return builder.take();
}

std::vector<bool> choose_validation(std::int64_t records, double validation_fraction) {
  std::vector<bool> held_out(records, false);
  if (validation_fraction <= 0.0 || records < 2) return held_out;
  const auto wanted =
      static_cast<std::int64_t>(std::llround(validation_fraction * static_cast<double>(records)));
  const std::int64_t count = std::clamp<std::int64_t>(wanted, 1, records - 1);
  const std::uint64_t seed = runtime::stable_hash("validation");
  for (std::int64_t i = 0; i < count; ++i)
    held_out[runtime::permuted_index(seed, static_cast<std::uint64_t>(records),
                                     static_cast<std::uint64_t>(i))] = true;
  return held_out;
}

}  // namespace tandem::data
