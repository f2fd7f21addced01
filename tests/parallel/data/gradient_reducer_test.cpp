// Promises of parallel/data/gradient_reducer.h: gradients become sums over the replicas, whatever
// the buckets, the order in which they become ready and who used which parameter.
#include "parallel/data/gradient_reducer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "parallel/comm/threads/threads.h"
#include "runtime/kernels/backend.h"
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
  runtime::accumulate_into(leaf, [&](runtime::Tensor& buffer, bool accumulate) {
    const auto grad = buffer.span<float>();
    for (std::size_t i = 0; i < grad.size(); ++i)
      grad[i] = gradient(p, i, rank) + (accumulate ? grad[i] : 0.0f);
  });
  leaf.on_grad_ready();
}

void expect_sums(const ParameterStore& store, std::size_t p, int factor, const std::string& what) {
  const OwnedPart* part = store.owned_part(p);
  if (part == nullptr) return;
  const auto grad = part->grad.span<float>();
  for (std::size_t i = 0; i < grad.size(); ++i)
    ASSERT_EQ(grad[i], static_cast<float>(factor) *
                           gradient(p, static_cast<std::size_t>(part->begin) + i, 0))
        << what << ": parameter " << p << " element " << part->begin + static_cast<int>(i);
}

constexpr ZeroStage kStages[] = {ZeroStage::kNone, ZeroStage::kOptimizer, ZeroStage::kGradients,
                                 ZeroStage::kParameters};

std::vector<std::size_t> all_parameters(const ParameterStore& store) {
  std::vector<std::size_t> all(store.parameters().size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

TEST(GradientReducer, sums_over_replicas_with_buckets_of_any_size) {
  for (const ZeroStage zero : kStages)
    for (const int ranks : {1, 2, 3, 4})
      for (const std::int64_t bucket_elements : {1, 250, 500, 1 << 20})
        run_ranks_as_threads(ranks, [&](const Group& dp) {
          ParameterStore store = toy_store(testing::divided(zero, dp, bucket_elements));
          GradientReducer reducer(store, dp);
          for (int step = 0; step < 2; ++step) {
            store.begin_step();
            reducer.begin_micro_batch(true, true);
            // Each rank in an order of its own, as when recomputation or timing differ.
            auto order = all_parameters(store);
            std::reverse(order.begin(), order.end());
            std::rotate(order.begin(), order.begin() + dp.rank(), order.end());
            for (const std::size_t p : order) differentiate(store, p, dp.rank());
            reducer.end_micro_batch();
            for (const std::size_t p : order)
              expect_sums(store, p, ranks * (ranks + 1) / 2,
                          fmt::format("{} ranks, buckets of {}", ranks, bucket_elements));
          }
        });
}

TEST(GradientReducer, accumulates_over_micro_batches) {
  for (const ZeroStage zero : kStages)
    run_ranks_as_threads(2, [zero](const Group& dp) {
      ParameterStore store = toy_store(testing::divided(zero, dp));
      GradientReducer reducer(store, dp);
      for (int step = 0; step < 2; ++step) {
        store.begin_step();
        for (int micro = 0; micro < 3; ++micro) {
          reducer.begin_micro_batch(micro == 0, micro == 2);
          for (const std::size_t p : all_parameters(store)) differentiate(store, p, dp.rank());
          reducer.end_micro_batch();
          if (micro < 2 && zero == ZeroStage::kNone)
            expect_sums(store, 1, (micro + 1) * (dp.rank() + 1), "still this rank's own");
        }
        for (const std::size_t p : all_parameters(store))
          expect_sums(store, p, 3 * 3, "three of two");
      }
    });
}

// Four ranks in two groups that each divide state: what two have of it, the other two have as well.
TEST(GradientReducer, groups_that_divide_state_add_up_among_each_other) {
  for (const ZeroStage zero : kStages)
    run_ranks_as_threads(4, [zero](const Group& world) {
      const Group together = world.split(world.rank() / 2, "together");
      const Group copies = world.split(world.rank() % 2, "copies");
      ParameterStore store = toy_store(testing::divided(zero, together));
      GradientReducer reducer(store, together, copies);
      for (int step = 0; step < 2; ++step) {
        store.begin_step();
        for (int micro = 0; micro < 2; ++micro) {
          reducer.begin_micro_batch(micro == 0, micro == 1);
          for (const std::size_t p : all_parameters(store)) differentiate(store, p, world.rank());
          reducer.end_micro_batch();
        }
        for (const std::size_t p : all_parameters(store))
          expect_sums(store, p, 2 * (1 + 2 + 3 + 4), "two of four");
      }
    });
}

// What travels is each rank's gradient in bf16, and the sum in fp32 is rounded once.
TEST(GradientReducer, sums_in_bf16_are_those_of_rounded_gradients) {
  const auto rounded = [](float x) { return static_cast<float>(runtime::BFloat16(x)); };
  for (const ZeroStage zero : kStages)
    run_ranks_as_threads(3, [&](const Group& dp) {
      ParameterStore store = toy_store(testing::divided(zero, dp, 250));
      GradientReducer reducer(store, dp, {}, runtime::DType::kBF16);
      store.begin_step();
      reducer.begin_micro_batch(true, true);
      const auto value = [](std::size_t p, std::size_t i, int rank) {
        return gradient(p, i, rank) + 0.01f * static_cast<float>(rank + 1);
      };
      for (const std::size_t p : all_parameters(store)) {
        runtime::Leaf& leaf = store.parameters()[p]->parameter.leaf;
        runtime::accumulate_into(leaf, [&](runtime::Tensor& buffer, bool) {
          const auto grad = buffer.span<float>();
          for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = value(p, i, dp.rank());
        });
        leaf.on_grad_ready();
      }
      reducer.end_micro_batch();
      for (const std::size_t p : all_parameters(store)) {
        const OwnedPart* part = store.owned_part(p);
        if (part == nullptr) continue;
        const auto grad = part->grad.span<float>();
        for (std::size_t i = 0; i < grad.size(); ++i) {
          const std::size_t element = static_cast<std::size_t>(part->begin) + i;
          float sum = 0;
          for (int rank = 0; rank < 3; ++rank) sum += rounded(value(p, element, rank));
          ASSERT_EQ(grad[i], rounded(sum)) << "parameter " << p << " element " << element;
        }
      }
    });
}

// Whole gradients of a bucket exist while they are made and sent, not longer.
TEST(GradientReducer, divided_gradients_take_the_memory_of_their_parts) {
  run_ranks_as_threads(2, [](const Group& dp) {
    ParameterStore store = toy_store(testing::divided(ZeroStage::kGradients, dp, 1));
    GradientReducer reducer(store, dp);
    store.begin_step();
    reducer.begin_micro_batch(true, true);
    const auto attached = [&] {
      return std::ranges::count_if(all_parameters(store), [&](std::size_t p) {
        return store.divided(p) && store.parameters()[p]->parameter.leaf.grad.defined();
      });
    };
    auto order = all_parameters(store);
    std::reverse(order.begin(), order.end());
    for (const std::size_t p : order) {
      differentiate(store, p, dp.rank());
      EXPECT_LE(attached(), 3);
    }
    reducer.end_micro_batch();
    EXPECT_EQ(attached(), 0);
  });
}

TEST(GradientReducer, unused_parameters_are_zero_and_partly_used_ones_count) {
  for (const ZeroStage zero : kStages)
    run_ranks_as_threads(2, [zero](const Group& dp) {
      ParameterStore store = toy_store(testing::divided(zero, dp, 1));
      GradientReducer reducer(store, dp);
      runtime::Tensor stale = store.flat_grad();
      runtime::backend_of(stale).fill(stale, 99.0f);
      store.begin_step();
      reducer.begin_micro_batch(true, true);
      if (dp.rank() == 1) differentiate(store, 3, 1);
      differentiate(store, 0, dp.rank());
      reducer.end_micro_batch();
      expect_sums(store, 0, 3, "used by both");
      expect_sums(store, 3, 2, "used by rank 1");
      for (const std::size_t p : {1, 2, 4, 5}) expect_sums(store, p, 0, "used by nobody");
    });
}

// That is what hides communication behind backward.
TEST(GradientReducer, a_complete_bucket_is_on_its_way_before_backward_ends) {
  run_ranks_as_threads(2, [](const Group& dp) {
    ParameterStore store = toy_store(testing::divided(ZeroStage::kNone, dp, 1));
    GradientReducer reducer(store, dp);
    const std::size_t last = store.parameters().size() - 1;
    store.begin_step();
    reducer.begin_micro_batch(true, true);
    differentiate(store, last, dp.rank());
    const auto grad = store.parameters()[last]->parameter.leaf.grad.span<float>();
    const auto start = std::chrono::steady_clock::now();
    while (grad[1] != 3 * gradient(last, 1, 0) &&
           std::chrono::steady_clock::now() - start < std::chrono::seconds(10))
      dp.progress();
    expect_sums(store, last, 3, "before the end");
    reducer.end_micro_batch();
  });
}

TEST(GradientReducer, leaves_its_hooks_with_nobody) {
  ParameterStore store = toy_store(local_group());
  {
    GradientReducer reducer(store, local_group());
    EXPECT_TRUE(store.parameters()[0]->parameter.leaf.on_grad_ready);
    EXPECT_THROW(reducer.end_micro_batch(), runtime::InternalError);
  }
  for (const auto& stored : store.parameters()) {
    EXPECT_FALSE(stored->parameter.leaf.on_grad_ready);
    EXPECT_FALSE(stored->parameter.leaf.on_grad_missing);
  }
}

}  // namespace
}  // namespace tandem::parallel
