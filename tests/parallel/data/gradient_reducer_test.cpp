// Promises of parallel/data/gradient_reducer.h: gradients become sums over the replicas, whatever
// the buckets, the order in which they become ready and who used which parameter.
#include "parallel/data/gradient_reducer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "parallel/comm/threads/threads.h"
#include "tests/parallel/toy_store.h"

namespace tandem::parallel {
namespace {

using testing::toy_store;

// Whole numbers, so that sums are exact: of parameter p, element i, on this rank.
float gradient(std::size_t p, std::size_t i, int rank) {
  return static_cast<float>((rank + 1) * static_cast<int>((p * 31 + i) % 17));
}

// What backward does for one parameter.
void differentiate(ParameterStore& store, std::size_t p, int rank) {
  runtime::Leaf& leaf = store.parameters()[p]->parameter.leaf;
  const auto grad = leaf.grad.span<float>();
  for (std::size_t i = 0; i < grad.size(); ++i)
    grad[i] = gradient(p, i, rank) + (leaf.has_grad ? grad[i] : 0.0f);
  leaf.has_grad = true;
  leaf.on_grad_ready();
}

void expect_sums(ParameterStore& store, std::size_t p, int factor, const std::string& what) {
  const auto grad = store.parameters()[p]->parameter.leaf.grad.span<float>();
  for (std::size_t i = 0; i < grad.size(); ++i)
    ASSERT_EQ(grad[i], static_cast<float>(factor) * gradient(p, i, 0))
        << what << ": parameter " << p << " element " << i;
}

std::vector<std::size_t> all_parameters(const ParameterStore& store) {
  std::vector<std::size_t> all(store.parameters().size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

TEST(GradientReducer, sums_over_replicas_with_buckets_of_any_size) {
  for (const int ranks : {1, 2, 3, 4})
    for (const std::int64_t bucket_bytes : {1, 1000, 2000, 1 << 20}) {
      run_ranks_as_threads(ranks, [&](const Group& dp) {
        ParameterStore store = toy_store(local_group());
        GradientReducer reducer(store, dp, bucket_bytes);
        for (int step = 0; step < 2; ++step) {
          store.begin_step();
          reducer.arm();
          // Each rank in an order of its own, as when recomputation or timing differ.
          auto order = all_parameters(store);
          std::reverse(order.begin(), order.end());
          std::rotate(order.begin(), order.begin() + dp.rank(), order.end());
          for (const std::size_t p : order) differentiate(store, p, dp.rank());
          reducer.finish();
          for (const std::size_t p : order)
            expect_sums(store, p, ranks * (ranks + 1) / 2,
                        fmt::format("{} ranks, buckets of {}", ranks, bucket_bytes));
        }
      });
    }
}

// Micro-batches before the last one accumulate and send nothing.
TEST(GradientReducer, accumulates_until_armed) {
  run_ranks_as_threads(2, [](const Group& dp) {
    ParameterStore store = toy_store(local_group());
    GradientReducer reducer(store, dp, 1000);
    store.begin_step();
    for (int micro = 0; micro < 3; ++micro) {
      if (micro == 2) reducer.arm();
      for (const std::size_t p : all_parameters(store)) differentiate(store, p, dp.rank());
      if (micro < 2) {
        expect_sums(store, 1, (micro + 1) * (dp.rank() + 1), "still this rank's own");
      }
    }
    reducer.finish();
    for (const std::size_t p : all_parameters(store)) expect_sums(store, p, 3 * 3, "three of two");
  });
}

TEST(GradientReducer, unused_parameters_are_zero_and_partly_used_ones_count) {
  run_ranks_as_threads(2, [](const Group& dp) {
    ParameterStore store = toy_store(local_group());
    GradientReducer reducer(store, dp, 1);
    for (const std::size_t p : all_parameters(store)) {
      auto stale = store.parameters()[p]->parameter.leaf.grad.span<float>();
      std::fill(stale.begin(), stale.end(), 99.0f);
    }
    store.begin_step();
    reducer.arm();
    if (dp.rank() == 1) differentiate(store, 3, 1);
    differentiate(store, 0, dp.rank());
    reducer.finish();
    expect_sums(store, 0, 3, "used by both");
    expect_sums(store, 3, 2, "used by rank 1");
    for (const std::size_t p : {1, 2, 4, 5}) expect_sums(store, p, 0, "used by nobody");
    for (const auto& stored : store.parameters()) EXPECT_TRUE(stored->parameter.leaf.has_grad);
  });
}

// That is what hides communication behind backward.
TEST(GradientReducer, a_complete_bucket_is_on_its_way_before_backward_ends) {
  run_ranks_as_threads(2, [](const Group& dp) {
    ParameterStore store = toy_store(local_group());
    GradientReducer reducer(store, dp, 1);
    const std::size_t last = store.parameters().size() - 1;
    store.begin_step();
    reducer.arm();
    differentiate(store, last, dp.rank());
    const auto grad = store.parameters()[last]->parameter.leaf.grad.span<float>();
    const auto start = std::chrono::steady_clock::now();
    while (grad[1] != 3 * gradient(last, 1, 0) &&
           std::chrono::steady_clock::now() - start < std::chrono::seconds(10))
      dp.progress();
    expect_sums(store, last, 3, "before finish()");
    reducer.finish();
  });
}

TEST(GradientReducer, leaves_its_hooks_with_nobody) {
  ParameterStore store = toy_store(local_group());
  {
    GradientReducer reducer(store, local_group());
    EXPECT_TRUE(store.parameters()[0]->parameter.leaf.on_grad_ready);
    EXPECT_THROW(reducer.finish(), runtime::InternalError);
  }
  for (const auto& stored : store.parameters()) EXPECT_FALSE(stored->parameter.leaf.on_grad_ready);
}

}  // namespace
}  // namespace tandem::parallel
