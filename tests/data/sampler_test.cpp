// Promises of data/sampler.h: one global order whatever the number of shards, resume that equals
// the uninterrupted run, a new order in every epoch.
#include "data/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/data/support.h"

namespace tandem::data {
namespace {

using testing::error_of;
using ::testing::HasSubstr;

Sampler make_sampler(std::int64_t dataset, std::int64_t batch, bool shuffle = true,
                     std::uint64_t seed = 3) {
  return Sampler(
      {.dataset_size = dataset, .global_batch_size = batch, .seed = seed, .shuffle = shuffle});
}

// The global batches of `steps` steps, put together from their shards.
std::vector<std::int64_t> order(Sampler& sampler, std::int64_t steps, std::int64_t shards) {
  std::vector<std::int64_t> indices;
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::int64_t shard = 0; shard < shards; ++shard) {
      const auto part = sampler.batch(shard, shards);
      EXPECT_EQ(std::ssize(part), sampler.global_batch_size() / shards);
      for (const SampleId& sample : part) indices.push_back(sample.index);
    }
    sampler.advance();
  }
  return indices;
}

TEST(Sampler, the_order_does_not_depend_on_the_shards) {
  for (const bool shuffle : {true, false}) {
    Sampler one = make_sampler(100, 24, shuffle);
    const auto expected = order(one, 20, 1);
    for (const std::int64_t shards : {2, 3, 4, 6, 8, 12, 24}) {
      Sampler sampler = make_sampler(100, 24, shuffle);
      EXPECT_EQ(order(sampler, 20, shards), expected) << shards;
      EXPECT_EQ(sampler.state(), one.state());
    }
  }
}

// 100 samples in batches of 24: batches run over the ends of epochs, and nothing is left out.
TEST(Sampler, every_epoch_holds_every_sample_once_in_a_new_order) {
  Sampler sampler = make_sampler(100, 24);
  const auto indices = order(sampler, 25, 1);  // six epochs
  std::set<std::vector<std::int64_t>> orders;
  for (int epoch = 0; epoch < 6; ++epoch) {
    const std::vector<std::int64_t> one(indices.begin() + epoch * 100,
                                        indices.begin() + (epoch + 1) * 100);
    EXPECT_EQ(std::set(one.begin(), one.end()).size(), 100u);
    orders.insert(one);
  }
  EXPECT_EQ(orders.size(), 6u);
  EXPECT_EQ(sampler.state(), (SamplerState{6, 0}));
  EXPECT_EQ(sampler.epochs_done(), 6.0);
}

TEST(Sampler, other_seeds_give_other_orders_and_none_the_order_of_the_file) {
  Sampler a = make_sampler(50, 10), b = make_sampler(50, 10, true, 4),
          c = make_sampler(50, 10, false);
  std::vector<std::int64_t> file(50);
  std::iota(file.begin(), file.end(), 0);
  const auto first = order(a, 5, 1);
  EXPECT_NE(first, order(b, 5, 1));
  EXPECT_NE(first, file);
  EXPECT_EQ(order(c, 5, 1), file);
}

TEST(Sampler, resume_at_any_step_and_any_shard_count_goes_on_as_if_nothing_happened) {
  Sampler uninterrupted = make_sampler(37, 8);
  const auto expected = order(uninterrupted, 30, 1);
  for (const std::int64_t stop : {1, 4, 5, 17, 29}) {
    Sampler before = make_sampler(37, 8);
    auto indices = order(before, stop, 2);
    Sampler after = make_sampler(37, 8);
    after.restore(before.state());
    const auto rest = order(after, 30 - stop, 8);
    indices.insert(indices.end(), rest.begin(), rest.end());
    EXPECT_EQ(indices, expected) << "stopped after " << stop;
  }
}

TEST(Sampler, a_batch_larger_than_the_data_spans_epochs) {
  Sampler sampler = make_sampler(3, 8);
  const auto batch = sampler.batch(0, 1);
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::set<std::int64_t> indices;
    for (int i = 0; i < 3; ++i) {
      const SampleId& sample = batch[static_cast<std::size_t>(epoch * 3 + i)];
      EXPECT_EQ(sample.epoch, epoch);
      indices.insert(sample.index);
    }
    EXPECT_EQ(indices.size(), 3u);
  }
  sampler.advance();
  EXPECT_EQ(sampler.state(), (SamplerState{2, 2}));
}

TEST(Sampler, what_does_not_divide_is_refused_with_sizes_that_do) {
  EXPECT_THAT(error_of([] { make_sampler(100, 16).batch(0, 3); }),
              HasSubstr("global_batch_size 16 does not divide by 3 data-parallel shards × "
                        "micro_batch_size 1; use 15 or 18 instead"));
  EXPECT_EQ(error_of([] { validate_batch_sizes(24, 2, 4); }), "no error");
  EXPECT_EQ(error_of([] { validate_batch_sizes(20, 2, 4); }),
            "global_batch_size 20 does not divide by 4 data-parallel shards × micro_batch_size 2; "
            "use 16 or 24 instead");
  EXPECT_THAT(error_of([] { validate_batch_sizes(3, 2, 4); }), HasSubstr("; use 8 instead"));
  EXPECT_THAT(error_of([] { validate_batch_sizes(8, 0, 4); }),
              HasSubstr("micro_batch_size is 0; it must be at least 1"));
  EXPECT_THAT(error_of([] { validate_batch_sizes(0, 1, 4); }),
              HasSubstr("global_batch_size is 0; it must be at least 1"));
  EXPECT_THAT(error_of([] { make_sampler(0, 4); }), HasSubstr("the data set is empty"));
  EXPECT_THAT(error_of([] { make_sampler(4, 0); }), HasSubstr("global_batch_size is 0"));
}

TEST(Sampler, a_cursor_of_other_data_is_refused) {
  Sampler sampler = make_sampler(100, 10);
  for (const SamplerState state : {SamplerState{0, 100}, SamplerState{-1, 0}, SamplerState{0, -1}})
    EXPECT_THAT(error_of([&] { sampler.restore(state); }),
                HasSubstr("does not fit a data set of 100 samples"));
  sampler.restore({2, 99});
  EXPECT_EQ(sampler.epochs_done(), 2.99);
}

TEST(ShardRange, every_sample_once_and_sizes_differ_by_at_most_one) {
  for (const std::int64_t size : {0, 1, 5, 16, 17, 1001})
    for (const std::int64_t shards : {1, 2, 3, 8}) {
      std::int64_t next = 0;
      for (std::int64_t shard = 0; shard < shards; ++shard) {
        const IndexRange range = shard_range(size, shard, shards);
        EXPECT_EQ(range.begin, next);
        EXPECT_GE(range.end - range.begin, size / shards);
        EXPECT_LE(range.end - range.begin, (size + shards - 1) / shards);
        next = range.end;
      }
      EXPECT_EQ(next, size);
    }
}

}  // namespace
}  // namespace tandem::data
