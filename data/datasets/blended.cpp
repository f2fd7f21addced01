#include "data/datasets/blended.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "runtime/base/random.h"

namespace tandem::data {
namespace {

std::vector<std::int64_t> sizes_of(std::span<const Dataset* const> sets) {
  std::vector<std::int64_t> sizes;
  for (const Dataset* set : sets) sizes.push_back(set->size());
  return sizes;
}

}  // namespace

std::vector<std::int64_t> samples_per_epoch(std::span<const std::int64_t> sizes,
                                            std::span<const double> weights) {
  TANDEM_CHECK(sizes.size() == weights.size(), "{} sizes, {} weights", sizes.size(),
               weights.size());
  const auto total = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  const double weight = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::int64_t> counts;
  std::vector<double> rests;
  for (const double own : weights) {
    const double share = static_cast<double>(total) * (own / weight);
    counts.push_back(static_cast<std::int64_t>(share));
    rests.push_back(share - std::floor(share));
  }
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return rests[a] > rests[b]; });
  std::int64_t left = total - std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  for (std::size_t i = 0; left > 0; i = (i + 1) % order.size(), --left) ++counts[order[i]];
  for (std::int64_t& count : counts) count = std::max<std::int64_t>(count, 1);
  return counts;
}

BlendedDataset::BlendedDataset(std::vector<const Dataset*> sets, std::span<const double> weights,
                               std::uint64_t seed)
    : sets_(std::move(sets)), counts_(samples_per_epoch(sizes_of(sets_), weights)), seed_(seed) {
  ends_.resize(counts_.size());
  std::partial_sum(counts_.begin(), counts_.end(), ends_.begin());
}

BlendedDataset::BlendedDataset(std::vector<const Dataset*> sets)
    : sets_(std::move(sets)), counts_(sizes_of(sets_)) {
  ends_.resize(counts_.size());
  std::partial_sum(counts_.begin(), counts_.end(), ends_.begin());
}

BlendedDataset::Place BlendedDataset::find(const SampleId& sample) const {
  TANDEM_CHECK(sample.index >= 0 && sample.index < size(), "sample {} of {}", sample.index, size());
  const auto source =
      static_cast<std::size_t>(std::ranges::upper_bound(ends_, sample.index) - ends_.begin());
  const std::int64_t count = counts_[source];
  const std::int64_t in_epoch = sample.index - (ends_[source] - count);
  const std::int64_t size = sets_[source]->size();
  if (count == size) return {source, {in_epoch, sample.epoch}};
  const std::int64_t place = sample.epoch * count + in_epoch;
  const std::int64_t pass = place / size;
  const std::uint64_t pass_seed =
      runtime::Philox(seed_, "blend", source).bits64(static_cast<std::uint64_t>(pass));
  const auto index = runtime::permuted_index(pass_seed, static_cast<std::uint64_t>(size),
                                             static_cast<std::uint64_t>(place % size));
  return {source, {static_cast<std::int64_t>(index), pass}};
}

void BlendedDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  const Place place = find(sample);
  sets_[place.source]->append(place.sample, batch);
}

}  // namespace tandem::data
