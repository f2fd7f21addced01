// Promises of parallel/layers/flat_layout.h: every element has one place and, when divided, one
// owner.
#include "parallel/layers/flat_layout.h"

#include <gtest/gtest.h>

#include <numeric>

namespace tandem::parallel {
namespace {

const std::vector<FlatItem> kItems{{100}, {64}, {7, true}, {1}, {500}, {33, true}, {250}};

TEST(FlatLayout, small_items_lie_behind_the_matrices_in_a_bucket_of_their_own) {
  const FlatLayout layout(kItems, 3, 200);
  ASSERT_EQ(layout.buckets().size(), 4u);
  const std::vector<std::vector<std::size_t>> expected{{6}, {4}, {0, 1, 3}, {2, 5}};
  for (std::size_t b = 0; b < 4; ++b) {
    EXPECT_EQ(layout.buckets()[b].items, expected[b]);
    EXPECT_EQ(layout.buckets()[b].divided, b < 3);
    for (const std::size_t item : expected[b]) EXPECT_EQ(layout.bucket_of(item), b);
  }
  EXPECT_EQ(layout.offset_of(2), layout.small_begin());
  EXPECT_EQ(layout.elements(), layout.small_begin() + 32 + 64);
}

TEST(FlatLayout, every_element_has_one_owner_and_one_place) {
  for (const int replicas : {1, 2, 3, 5, 8})
    for (const std::int64_t bucket : {1, 100, 300, 10000}) {
      const FlatLayout layout(kItems, replicas, bucket);
      std::vector<std::vector<bool>> taken(
          static_cast<std::size_t>(replicas),
          std::vector<bool>(static_cast<std::size_t>(layout.owned_elements()), false));
      std::vector<bool> covered(static_cast<std::size_t>(layout.elements()), false);
      for (std::size_t i = 0; i < kItems.size(); ++i) {
        std::int64_t next = 0;
        EXPECT_EQ(layout.offset_of(i) % 32, 0);
        for (const OwnedRange& range : layout.ranges_of(i)) {
          EXPECT_EQ(range.begin, next) << "a gap or an overlap";
          next += range.count;
          for (std::int64_t k = 0; k < range.count; ++k) {
            auto place = taken.at(range.replica).begin() + range.owned_offset + k;
            EXPECT_FALSE(*place) << "two elements in one place";
            *place = true;
            auto whole = covered.begin() + layout.offset_of(i) + range.begin + k;
            EXPECT_FALSE(*whole);
            *whole = true;
          }
        }
        EXPECT_EQ(next, kItems[i].elements);
      }
    }
}

// In a reduce-scatter of a bucket, replica r gets the r-th of equal parts: those must be the
// ranges.
TEST(FlatLayout, owned_parts_are_equal_parts_of_buckets) {
  const FlatLayout layout(kItems, 3, 200);
  for (const FlatBucket& bucket : layout.buckets()) {
    if (!bucket.divided) continue;
    ASSERT_EQ(bucket.elements % (3 * 32), 0);
    const std::int64_t part = bucket.elements / 3;
    for (const std::size_t item : bucket.items)
      for (const OwnedRange& range : layout.ranges_of(item)) {
        const std::int64_t position = layout.offset_of(item) + range.begin - bucket.begin;
        EXPECT_EQ(position / part, range.replica);
        EXPECT_EQ(range.owned_offset, layout.owned_begin(bucket) + position % part);
      }
  }
}

TEST(FlatLayout, of_one_replica_is_the_flat_buffer_itself) {
  const FlatLayout layout(kItems, 1, 200);
  EXPECT_EQ(layout.owned_elements(), layout.elements());
  for (std::size_t i = 0; i < kItems.size(); ++i) {
    const std::vector<OwnedRange> ranges = layout.ranges_of(i);
    ASSERT_EQ(ranges.size(), 1u);
    EXPECT_EQ(ranges[0].owned_offset, layout.offset_of(i));
  }
}

}  // namespace
}  // namespace tandem::parallel
