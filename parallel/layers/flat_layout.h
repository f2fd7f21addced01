// Where the parameters of a store lie in its flat buffers, and how those are cut into buckets: the
// pieces in which gradients are reduced and in which replicas divide state among them (ZeRO).
//
// Matrices come first, in the order in which they were added; small parameters (norms, biases) lie
// behind them in a bucket of their own, which every replica keeps whole. Of every other bucket,
// replica r owns the r-th of equal parts, wherever parameters begin or end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::parallel {

struct FlatItem {
  std::int64_t elements = 0;
  bool small = false;  // kept whole by every replica
  bool alone = false;  // in a bucket of its own, so that its division depends on nothing else
};

struct FlatBucket {
  std::vector<std::size_t> items;  // in order of their offsets
  std::int64_t begin = 0;
  std::int64_t elements = 0;  // padding included
  bool divided = false;       // among the replicas
};

// A part of one item that one replica owns.
struct OwnedRange {
  int replica = 0;
  std::int64_t begin = 0;  // within the item
  std::int64_t count = 0;
  std::int64_t owned_offset = 0;  // in a buffer that holds only what this replica owns
};

class FlatLayout {
 public:
  FlatLayout() = default;
  // replicas: among how many the matrices are divided; 1: not at all. Buckets are filled from the
  // last matrix to the first, up to about `bucket_elements`.
  FlatLayout(std::span<const FlatItem> items, int replicas, std::int64_t bucket_elements);

  // Buckets from the last matrix to the first (the order in which backward finishes them), then
  // that of the small items.
  const std::vector<FlatBucket>& buckets() const { return buckets_; }
  std::size_t bucket_of(std::size_t item) const { return bucket_of_[item]; }
  std::int64_t offset_of(std::size_t item) const { return offsets_[item]; }
  std::int64_t elements() const { return elements_; }
  // Where small items begin.
  std::int64_t small_begin() const { return small_begin_; }
  // Of a buffer that holds only what one replica owns (all small items included).
  std::int64_t owned_elements() const { return owned_position(elements_); }
  int replicas() const { return replicas_; }

  // The parts of an item, by replica in ascending order; one part, of replica 0, where the item is
  // not divided: everybody owns it.
  std::vector<OwnedRange> ranges_of(std::size_t item) const;
  // Where a bucket's own part starts in a buffer of what a replica owns.
  std::int64_t owned_begin(const FlatBucket& bucket) const { return owned_position(bucket.begin); }

 private:
  void add_bucket(std::vector<std::size_t> members, bool divided);
  // For the beginning of a bucket, or of a small item.
  std::int64_t owned_position(std::int64_t flat) const;

  int replicas_ = 1;
  std::vector<FlatItem> items_;
  std::vector<FlatBucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::vector<std::int64_t> offsets_;
  std::int64_t elements_ = 0;
  std::int64_t small_begin_ = 0;
};

}  // namespace tandem::parallel
