// Promises of data/packing.h: every token in exactly one pack, no pack too long, no document cut
// needlessly, and few places wasted.
#include "data/packing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "runtime/base/random.h"
#include "tests/data/support.h"

namespace tandem::data {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

PackPlan plan(const std::vector<std::int64_t>& lengths, std::int64_t sequence_length) {
  std::vector<std::int64_t> documents(lengths.size());
  std::iota(documents.begin(), documents.end(), 0);
  return plan_packs(documents, lengths, sequence_length);
}

TEST(Packing, short_documents_share_packs_best_fit_first) {
  // 6 opens a pack, 5 another; 4 fills the first, 3 fits the second, 2 completes it.
  const PackPlan packs = plan({2, 3, 4, 5, 6}, 10);
  ASSERT_EQ(packs.size(), 2);
  EXPECT_THAT(packs.pack(0), ElementsAre(Segment{4, 0, 6}, Segment{2, 0, 4}));
  EXPECT_THAT(packs.pack(1), ElementsAre(Segment{3, 0, 5}, Segment{1, 0, 3}, Segment{0, 0, 2}));
  EXPECT_EQ(packs.fill(), 1.0);
}

TEST(Packing, long_documents_are_cut_into_full_packs_and_a_rest) {
  const PackPlan packs = plan({23, 7}, 10);
  ASSERT_EQ(packs.size(), 3);
  EXPECT_THAT(packs.pack(0), ElementsAre(Segment{0, 0, 10}));
  EXPECT_THAT(packs.pack(1), ElementsAre(Segment{0, 10, 10}));
  EXPECT_THAT(packs.pack(2), ElementsAre(Segment{1, 0, 7}, Segment{0, 20, 3}));
}

TEST(Packing, segments_carry_the_ids_of_their_documents) {
  const std::vector<std::int64_t> documents{40, 7}, lengths{3, 4};
  const PackPlan packs = plan_packs(documents, lengths, 8);
  EXPECT_THAT(packs.pack(0), ElementsAre(Segment{7, 0, 4}, Segment{40, 0, 3}));
  EXPECT_DOUBLE_EQ(packs.fill(), 7.0 / 8.0);
}

TEST(Packing, every_token_is_in_exactly_one_pack) {
  const runtime::Philox random(11, "lengths");
  std::vector<std::int64_t> lengths;
  for (std::uint64_t i = 0; i < 5000; ++i)
    lengths.push_back(static_cast<std::int64_t>(random.below(i % 50 == 0 ? 3000 : 200, i)));
  const std::int64_t sequence_length = 256;
  const PackPlan packs = plan(lengths, sequence_length);
  std::vector<std::int64_t> seen(lengths.size());
  std::vector<int> segments(lengths.size());
  for (std::int64_t i = 0; i < packs.size(); ++i) {
    std::int64_t tokens = 0;
    for (const Segment& segment : packs.pack(i)) {
      EXPECT_GT(segment.length, 0);
      EXPECT_EQ(segment.begin, seen[segment.document]);
      seen[segment.document] += segment.length;
      ++segments[segment.document];
      tokens += segment.length;
    }
    EXPECT_LE(tokens, sequence_length);
  }
  EXPECT_EQ(seen, lengths);
  for (std::size_t i = 0; i < lengths.size(); ++i)
    EXPECT_EQ(segments[i], (lengths[i] + sequence_length - 1) / sequence_length) << lengths[i];
  EXPECT_GT(packs.fill(), 0.99);
}

TEST(Packing, nothing_to_pack) {
  EXPECT_EQ(plan({}, 8).size(), 0);
  EXPECT_EQ(plan({0, 0}, 8).size(), 0);
  EXPECT_EQ(plan({}, 8).fill(), 1.0);
  EXPECT_THAT(error_of([] { plan({5}, 1); }),
              HasSubstr("sequence_length is 1; it must be at least 2"));
}

}  // namespace
}  // namespace tandem::data
