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
          std::vector<bool>(static_cast<std::size_t>(layout.elements(Extent::kOwned)), false));
      std::vector<bool> covered(static_cast<std::size_t>(layout.elements()), false);
      for (std::size_t i = 0; i < kItems.size(); ++i) {
        std::int64_t next = 0;
        EXPECT_EQ(layout.offset_of(i) % 32, 0);
        for (const OwnedRange& range : layout.ranges_of(i)) {
          EXPECT_EQ(range.begin, next) << "a gap or an overlap";
          next += range.count;
          for (std::int64_t k = 0; k < range.count; ++k) {
            auto place = taken.at(range.replica).begin() +
                         layout.begin_of(layout.buckets()[layout.bucket_of(i)], Extent::kOwned) +
                         range.part_offset + k;
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
        EXPECT_EQ(range.part_offset, position % part);
      }
  }
}

TEST(FlatLayout, of_one_replica_is_the_flat_buffer_itself) {
  const FlatLayout layout(kItems, 1, 200);
  for (const Extent extent : {Extent::kOwned, Extent::kUnitsDivided}) {
    EXPECT_EQ(layout.elements(extent), layout.elements());
    for (const FlatBucket& bucket : layout.buckets()) {
      EXPECT_TRUE(layout.holds_whole(bucket, extent));
      EXPECT_EQ(layout.begin_of(bucket, extent), bucket.begin);
    }
  }
}

TEST(FlatLayout, buckets_of_units_are_divided_and_others_whole_where_units_are_divided) {
  const std::vector<FlatItem> items{{.elements = 96},
                                    {.elements = 192, .unit = 0},
                                    {.elements = 192, .unit = 0},
                                    {.elements = 7, .small = true, .unit = 0},
                                    {.elements = 384, .unit = 1}};
  const FlatLayout layout(items, 3, 1000);
  ASSERT_EQ(layout.buckets().size(), 4u) << "one for each unit, one without, the small ones";
  EXPECT_EQ(layout.elements(Extent::kUnitsDivided), 96 + 384 / 3 + 384 / 3 + 32);
  for (const FlatBucket& bucket : layout.buckets()) {
    EXPECT_EQ(layout.holds_whole(bucket, Extent::kUnitsDivided),
              bucket.unit < 0 || !bucket.divided);
    for (const std::size_t item : bucket.items)
      if (bucket.divided) {
        EXPECT_EQ(items[item].unit, bucket.unit);
      }
  }
}

}  // namespace
}  // namespace tandem::parallel
