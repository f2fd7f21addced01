#include "parallel/layers/flat_layout.h"

#include <algorithm>

namespace tandem::parallel {

namespace {

// Items start at multiples of this many elements, so that vector loads in flat kernels stay
// aligned.
constexpr std::int64_t kAlignElements = 32;

std::int64_t rounded_up(std::int64_t elements, std::int64_t unit) {
  return (elements + unit - 1) / unit * unit;
}

std::int64_t aligned(std::int64_t elements) {
  return rounded_up(elements, kAlignElements);
}

// Groups of matrices for the buckets, in the order of the items; filled from the back.
std::vector<std::vector<std::size_t>> groups_of(std::span<const FlatItem> items,
                                                std::int64_t bucket_elements) {
  std::vector<std::vector<std::size_t>> groups;
  std::int64_t filled = bucket_elements;
  for (std::size_t i = items.size(); i-- > 0;) {
    if (items[i].small) continue;
    const bool other_unit = !groups.empty() && items[groups.back()[0]].unit != items[i].unit;
    if (filled >= bucket_elements || items[i].alone || other_unit) {
      groups.emplace_back();
      filled = 0;
    }
    groups.back().push_back(i);
    filled = items[i].alone ? bucket_elements : filled + aligned(items[i].elements);
  }
  for (auto& group : groups) std::ranges::reverse(group);
  std::ranges::reverse(groups);
  return groups;
}

}  // namespace

FlatLayout::FlatLayout(std::span<const FlatItem> items, int replicas, std::int64_t bucket_elements)
    : replicas_(replicas),
      items_(items.begin(), items.end()),
      bucket_of_(items.size()),
      offsets_(items.size()) {
  for (auto& group : groups_of(items, bucket_elements)) add_bucket(std::move(group), replicas > 1);
  std::ranges::reverse(buckets_);
  small_begin_ = elements_;
  std::vector<std::size_t> small;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (items[i].small) small.push_back(i);
  if (!small.empty()) add_bucket(std::move(small), false);
  for (std::size_t b = 0; b < buckets_.size(); ++b)
    for (const std::size_t item : buckets_[b].items) bucket_of_[item] = b;
}

void FlatLayout::add_bucket(std::vector<std::size_t> members, bool divided) {
  FlatBucket bucket{
      .items = std::move(members), .begin = elements_, .divided = divided, .begins = sizes_};
  bucket.unit = items_[bucket.items[0]].unit;
  for (const std::size_t item : bucket.items) {
    offsets_[item] = elements_;
    elements_ += aligned(items_[item].elements);
  }
  if (divided)
    elements_ = bucket.begin + rounded_up(elements_ - bucket.begin, kAlignElements * replicas_);
  bucket.elements = elements_ - bucket.begin;
  for (std::size_t e = 0; e < kExtents; ++e)
    sizes_[e] +=
        holds_whole(bucket, static_cast<Extent>(e)) ? bucket.elements : part_elements(bucket);
  buckets_.push_back(std::move(bucket));
}

bool FlatLayout::holds_whole(const FlatBucket& bucket, Extent extent) const {
  return !bucket.divided || extent == Extent::kWhole ||
         (extent == Extent::kUnitsDivided && bucket.unit < 0);
}

std::vector<OwnedRange> FlatLayout::ranges_of(std::size_t item) const {
  const FlatBucket& bucket = buckets_[bucket_of_[item]];
  const std::int64_t begin = offsets_[item], end = begin + items_[item].elements;
  if (!bucket.divided) return {{0, 0, end - begin, begin - bucket.begin}};
  std::vector<OwnedRange> ranges;
  const std::int64_t part = part_elements(bucket);
  for (int replica = 0; replica < replicas_; ++replica) {
    const std::int64_t part_begin = bucket.begin + replica * part;
    const std::int64_t from = std::max(begin, part_begin), to = std::min(end, part_begin + part);
    if (from < to) ranges.push_back({replica, from - begin, to - from, from - part_begin});
  }
  return ranges;
}

}  // namespace tandem::parallel
