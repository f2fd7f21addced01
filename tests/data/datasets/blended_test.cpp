// Promises of data/datasets/blended.h: shares by weight, even passes, and the same samples whatever
// the number of shards or the moment of an interruption.
#include "data/datasets/blended.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace tandem::data {
namespace {

using ::testing::ElementsAre;

// A set whose samples say who they are: one sequence, record = 1000 × set + index, token = pass
// + 1.
class Numbers final : public Dataset {
 public:
  Numbers(std::int64_t set, std::int64_t size) : set_(set), size_(size) {}
  std::int64_t size() const override { return size_; }
  void append(const SampleId& sample, BatchBuilder& batch) const override {
    const TokenId tokens[] = {static_cast<TokenId>(sample.epoch + 1)};
    batch.add_prompt(tokens, 1000 * set_ + sample.index);
  }

 private:
  std::int64_t set_, size_;
};

TEST(SamplesPerEpoch, follow_the_weights_by_largest_remainder) {
  const auto counts = [](std::vector<std::int64_t> sizes, std::vector<double> weights) {
    return samples_per_epoch(sizes, weights);
  };
  EXPECT_THAT(counts({10, 30}, {1, 1}), ElementsAre(20, 20));
  EXPECT_THAT(counts({10, 30}, {10, 30}), ElementsAre(10, 30));
  EXPECT_THAT(counts({5, 5}, {2, 1}), ElementsAre(7, 3));  // 6.67, 3.33
  EXPECT_THAT(counts({3, 3, 4}, {1, 1, 1}), ElementsAre(4, 3, 3));
  EXPECT_THAT(counts({10, 1000}, {1e-9, 1}), ElementsAre(1, 1010)) << "nothing is left out";
}

TEST(BlendedDataset, one_set_is_itself) {
  const Numbers only(0, 7);
  const BlendedDataset blend({&only}, std::vector<double>{3.0}, 1);
  ASSERT_EQ(blend.size(), 7);
  for (std::int64_t i = 0; i < 7; ++i) EXPECT_EQ(blend.find({i, 5}).sample, SampleId(i, 5));
}

TEST(BlendedDataset, sets_after_each_other_are_whole) {
  const Numbers a(0, 3), b(1, 2);
  const BlendedDataset all({&a, &b});
  std::vector<std::int64_t> records;
  for (std::int64_t i = 0; i < all.size(); ++i)
    records.push_back(make_batch(all, std::vector<SampleId>{i}).records[0]);
  EXPECT_THAT(records, ElementsAre(0, 1, 2, 1000, 1001));
}

// 4 samples with weight 3 beside 12 with weight 1: 12 and 4 of each epoch. In ten epochs the small
// set is passed through 30 times, the large one 10/3 times, and never unevenly by more than one.
TEST(BlendedDataset, shares_are_exact_and_passes_even) {
  const Numbers small(0, 4), large(1, 12);
  const BlendedDataset blend({&small, &large}, std::vector<double>{3, 1}, 42);
  ASSERT_EQ(blend.size(), 16);
  std::map<std::int64_t, int> seen;
  for (std::int64_t epoch = 0; epoch < 10; ++epoch) {
    int of_small = 0;
    for (std::int64_t i = 0; i < blend.size(); ++i) {
      const Batch batch = make_batch(blend, std::vector<SampleId>{{i, epoch}});
      ++seen[batch.records[0]];
      of_small += batch.records[0] < 1000;
    }
    EXPECT_EQ(of_small, 12);
    for (std::int64_t i = 0; i < 4; ++i) EXPECT_EQ(seen[i], 3 * (epoch + 1));
    for (std::int64_t i = 0; i < 12; ++i) {
      EXPECT_GE(seen[1000 + i], 4 * (epoch + 1) / 12);
      EXPECT_LE(seen[1000 + i], (4 * (epoch + 1) + 11) / 12);
    }
  }
}

// Noise is drawn anew in every pass, so a pass must have a number of its own.
TEST(BlendedDataset, passes_of_a_set_are_counted_for_it) {
  const Numbers small(0, 4), large(1, 12);
  const BlendedDataset blend({&small, &large}, std::vector<double>{3, 1}, 42);
  EXPECT_EQ(blend.find({0, 0}).sample.epoch, 0);
  EXPECT_EQ(blend.find({4, 0}).sample.epoch, 1);
  EXPECT_EQ(blend.find({0, 1}).sample.epoch, 3);
  EXPECT_EQ(blend.find({12, 2}).sample.epoch, 0);
  EXPECT_EQ(blend.find({12, 3}).sample.epoch, 1);
}

TEST(BlendedDataset, the_seed_decides_the_order_of_a_pass) {
  const Numbers small(0, 50), large(1, 100);
  const auto order = [&](std::uint64_t seed) {
    const BlendedDataset blend({&small, &large}, std::vector<double>{1, 1}, seed);
    std::vector<std::int64_t> found;
    for (std::int64_t i = 0; i < 50; ++i) found.push_back(blend.find(i).sample.index);
    return found;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
}

// The cursor is global: four shards, then, after an interruption, two, see what one shard sees.
TEST(BlendedDataset, any_number_of_shards_sees_the_same_samples) {
  const Numbers small(0, 5), large(1, 11);
  const BlendedDataset blend({&small, &large}, std::vector<double>{2, 1}, 7);
  const Sampler::Options options{
      .dataset_size = blend.size(), .global_batch_size = 4, .seed = 3, .shuffle = true};
  const auto batch_of = [&](const Sampler& sampler, std::int64_t shards) {
    std::vector<std::int64_t> records;
    for (std::int64_t shard = 0; shard < shards; ++shard) {
      const Batch batch = make_batch(blend, sampler.batch(shard, shards));
      records.insert(records.end(), batch.records.begin(), batch.records.end());
    }
    return records;
  };
  Sampler whole(options), first(options);
  for (int step = 0; step < 9; ++step, whole.advance(), first.advance())
    EXPECT_EQ(batch_of(whole, 1), batch_of(first, 4)) << step;
  Sampler second(options);
  second.restore(first.state());
  for (int step = 0; step < 9; ++step, whole.advance(), second.advance())
    EXPECT_EQ(batch_of(whole, 1), batch_of(second, 2)) << step;
}

}  // namespace
}  // namespace tandem::data
