// Where the parameters of a store lie in its flat buffers, and how those are cut into buckets: the
// pieces in which gradients are reduced and in which replicas divide state among them (ZeRO).
//
// Matrices come first, in the order in which they were added; small parameters (norms, biases) lie
// behind them in a bucket of their own, which every replica keeps whole. Of every other bucket,
// replica r owns the r-th of equal parts, wherever parameters begin or end.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tandem::parallel {

struct FlatItem {
  std::int64_t elements = 0;
  bool small = false;  // kept whole by every replica
  bool alone = false;  // in a bucket of its own, so that its division depends on nothing else
  int unit = -1;       // a bucket has items of one unit only; -1: of none
};

// What a replica's buffer holds of the items.
enum class Extent {
  kWhole,
  kOwned,         // of divided buckets, the part that the replica owns
  kUnitsDivided,  // the same, but only of buckets that belong to a unit; the others whole
};
inline constexpr std::size_t kExtents = 3;

struct FlatBucket {
  std::vector<std::size_t> items;  // in order of their offsets
  std::int64_t begin = 0;          // in a whole buffer
  std::int64_t elements = 0;       // padding included
  bool divided = false;            // among the replicas
  int unit = -1;
  std::array<std::int64_t, kExtents> begins{};  // in a buffer of each extent
};

// A part of one item that one replica owns.
struct OwnedRange {
  int replica = 0;
  std::int64_t begin = 0;  // within the item
  std::int64_t count = 0;
  std::int64_t part_offset = 0;  // within the replica's part of the bucket
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
  // Of a buffer, and where a bucket begins in it.
  std::int64_t elements(Extent extent) const { return sizes_[static_cast<std::size_t>(extent)]; }
  std::int64_t begin_of(const FlatBucket& bucket, Extent extent) const {
    return bucket.begins[static_cast<std::size_t>(extent)];
  }
  // Whether a buffer has all of a bucket.
  bool holds_whole(const FlatBucket& bucket, Extent extent) const;
  // Of one replica's part, or of the whole bucket where it is not divided.
  std::int64_t part_elements(const FlatBucket& bucket) const {
    return bucket.divided ? bucket.elements / replicas_ : bucket.elements;
  }
  int replicas() const { return replicas_; }

  // The parts of an item, by replica in ascending order; one part, of replica 0, where the item is
  // not divided: everybody owns it.
  std::vector<OwnedRange> ranges_of(std::size_t item) const;

 private:
  void add_bucket(std::vector<std::size_t> members, bool divided);

  int replicas_ = 1;
  std::vector<FlatItem> items_;
  std::vector<FlatBucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::vector<std::int64_t> offsets_;
  std::int64_t elements_ = 0;
  std::array<std::int64_t, kExtents> sizes_{};
  std::int64_t small_begin_ = 0;
};

}  // namespace tandem::parallel
