#include "rl/minibatches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

MinibatchPlanOptions options() {
  return {
      .samples = 24, .minibatches = 3, .epochs = 4, .data_parallel = 2, .seed = 5, .iteration = 2};
}

TEST(PlanMinibatches, every_epoch_holds_every_sample_once_in_another_order) {
  const auto plan = plan_minibatches(options());
  ASSERT_EQ(plan.size(), 12u);
  std::set<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<std::int64_t> order;
    for (std::int64_t index = 0; index < 3; ++index) {
      const Minibatch& minibatch = plan[static_cast<std::size_t>(epoch * 3 + index)];
      EXPECT_EQ(minibatch.epoch, epoch);
      EXPECT_EQ(minibatch.index, index);
      order.insert(order.end(), minibatch.samples.begin(), minibatch.samples.end());
    }
    EXPECT_EQ(std::set(order.begin(), order.end()).size(), 24u);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 4u);
}

TEST(PlanMinibatches, slices_of_all_ranks_make_the_minibatch_under_every_layout) {
  auto one = options();
  one.data_parallel = 1;
  const auto plan = plan_minibatches(options());
  const auto single = plan_minibatches(one);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    EXPECT_EQ(plan[i].samples, single[i].samples);
    auto joined = plan[i].slice(0, 2);
    const auto second = plan[i].slice(1, 2);
    EXPECT_EQ(joined.size(), second.size());
    joined.insert(joined.end(), second.begin(), second.end());
    EXPECT_EQ(joined, single[i].slice(0, 1));
  }
}

TEST(PlanMinibatches, depends_on_seed_and_iteration_only) {
  EXPECT_EQ(plan_minibatches(options())[0].samples, plan_minibatches(options())[0].samples);
  auto other = options();
  other.iteration = 3;
  EXPECT_NE(plan_minibatches(other)[0].samples, plan_minibatches(options())[0].samples);
  other = options();
  other.seed = 6;
  EXPECT_NE(plan_minibatches(other)[0].samples, plan_minibatches(options())[0].samples);
}

// A fixed seed would hide a shuffle that prefers some places.
TEST(PlanMinibatches, each_sample_reaches_each_minibatch_about_equally_often) {
  auto counts = std::vector<int>(24);
  for (std::int64_t iteration = 0; iteration < 600; ++iteration) {
    auto o = options();
    o.iteration = iteration;
    o.epochs = 1;
    const auto plan = plan_minibatches(o);
    for (const std::int64_t sample : plan[0].samples) {
      ++counts[static_cast<std::size_t>(sample)];
    }
  }
  // Mean 200, standard deviation about 11.5.
  for (const int count : counts) EXPECT_NEAR(count, 200, 60);
}

TEST(PlanMinibatches, refuses_what_would_leave_a_rank_with_fewer_samples) {
  auto uneven = options();
  uneven.data_parallel = 5;
  try {
    plan_minibatches(uneven);
    FAIL() << "accepted";
  } catch (const runtime::Error& error) {
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr("24 rollouts do not divide into 3 minibatches over 5"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("multiple of 15"));
  }
}

}  // namespace
}  // namespace tandem::rl
