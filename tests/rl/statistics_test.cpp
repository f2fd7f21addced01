// Whitening with the moments of all ranks: sharded experience must give what one rank alone
// computes.
#include "rl/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "tests/rl/thread_sum.h"

namespace tandem::rl {
namespace {

const TokenValues kValues = {{1.0f, 2.0f, 4.0f}, {-3.0f}, {0.5f, 8.0f}, {2.5f, -1.0f, 0.0f, 7.0f}};

TEST(Moments, follow_the_definition_over_counted_values) {
  const std::vector<std::size_t> counts = {2, 0, 2, 1};  // 1, 2, 0.5, 8, 2.5
  const Moments result = masked_moments(kValues, counts);
  EXPECT_EQ(result.count, 5);
  EXPECT_DOUBLE_EQ(result.mean, 2.8);
  EXPECT_DOUBLE_EQ(result.variance, (3.24 + 0.64 + 5.29 + 27.04 + 0.09) / 4);
}

TEST(Moments, of_one_or_no_value_have_no_variance) {
  EXPECT_EQ(masked_moments({{5.0f}}).variance, 0);
  EXPECT_EQ(masked_moments({}).mean, 0);
}

TEST(Moments, do_not_cancel_for_a_large_mean) {
  const Moments result = masked_moments({{1e6f, 1e6f + 1, 1e6f + 2}});
  EXPECT_DOUBLE_EQ(result.variance, 1.0);
}

TEST(Whiten, removes_or_keeps_the_mean_and_leaves_the_rest_alone) {
  const std::vector<std::size_t> counts = {3, 1, 2, 2};
  const Moments before = masked_moments(kValues, counts);
  TokenValues removed = kValues;
  whiten(removed, before, MeanShift::kRemove, counts);
  EXPECT_NEAR(masked_moments(removed, counts).mean, 0, 1e-7);
  EXPECT_NEAR(masked_moments(removed, counts).variance, 1, 1e-6);
  EXPECT_EQ(removed[3][2], kValues[3][2]);
  EXPECT_EQ(removed[3][3], kValues[3][3]);
  TokenValues kept = kValues;
  whiten(kept, before, MeanShift::kKeep, counts);
  EXPECT_NEAR(masked_moments(kept, counts).mean, before.mean, 1e-6);
  EXPECT_NEAR(masked_moments(kept, counts).variance, 1, 1e-6);
}

TEST(Whiten, over_unevenly_sharded_ranks_equals_one_rank) {
  TokenValues whole = kValues;
  whiten(whole, masked_moments(whole), MeanShift::kRemove);
  const std::vector<TokenValues> shards = {{kValues[0]}, {kValues[1], kValues[2], kValues[3]}};
  std::vector<TokenValues> results = shards;
  testing::ThreadSum sum;
  std::vector<std::thread> ranks;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const Moments global = masked_moments(shards[rank], {}, sum.rank(rank));
      whiten(results[rank], global, MeanShift::kRemove);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(results[0][0], whole[0]);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t t = 0; t < whole[i + 1].size(); ++t) {
      EXPECT_FLOAT_EQ(results[1][i][t], whole[i + 1][t]);
    }
  }
  // Local moments would have given something else.
  TokenValues local = shards[0];
  whiten(local, masked_moments(local), MeanShift::kRemove);
  EXPECT_GT(std::abs(local[0][0] - whole[0][0]), 0.1);
}

}  // namespace
}  // namespace tandem::rl
