// Promises of parallel/data/gradient_tree.h: one order of additions, whoever has the samples.
#include "parallel/data/gradient_tree.h"

#include <gtest/gtest.h>

#include <functional>

#include "parallel/comm/threads/threads.h"
#include "runtime/base/random.h"
#include "tests/parallel/toy_store.h"

namespace tandem::parallel {
namespace {

using testing::toy_store;

constexpr std::int64_t kSamples = 16;

// Numbers of all sizes, whose sum depends on the order.
float gradient(std::int64_t sample, std::size_t parameter, std::size_t element) {
  const runtime::Philox random(7, "gradient", static_cast<std::uint64_t>(sample));
  const float x = random.normal(parameter * 1000 + element);
  return x * x * x * 100.0f;
}

void differentiate(ParameterStore& store, std::int64_t sample) {
  for (std::size_t p = 0; p < store.parameters().size(); ++p) {
    if (p == 1 && sample % 2 == 1) continue;  // not every sample uses every parameter
    runtime::accumulate_into(store.parameters()[p]->parameter.leaf,
                             [&](runtime::Tensor& buffer, bool accumulate) {
                               const auto grad = buffer.span<float>();
                               for (std::size_t i = 0; i < grad.size(); ++i)
                                 grad[i] = gradient(sample, p, i) + (accumulate ? grad[i] : 0.0f);
                             });
  }
}

// The sum over the samples [begin, begin + count) as the tree's definition has it.
float tree_sum(std::int64_t begin, std::int64_t count,
               const std::function<float(std::int64_t)>& of_sample) {
  if (count == 1) return of_sample(begin);
  return tree_sum(begin, count / 2, of_sample) + tree_sum(begin + count / 2, count / 2, of_sample);
}

TEST(GradientTree, any_number_of_replicas_gives_the_same_bits) {
  for (const int ranks : {1, 2, 4, 8})
    run_ranks_as_threads(ranks, [&](const Group& dp) {
      ParameterStore store = toy_store(local_group());
      GradientTree tree(store, dp);
      for (int step = 0; step < 2; ++step) {
        store.begin_step();
        const std::int64_t own = kSamples / dp.size();
        for (std::int64_t i = dp.rank() * own; i < (dp.rank() + 1) * own; ++i) {
          tree.begin_sample();
          differentiate(store, i);
          tree.end_sample();
        }
        tree.finish();
        for (std::size_t p = 0; p < store.parameters().size(); ++p) {
          const auto sum = store.parameters()[p]->parameter.leaf.grad.to_vector<float>();
          for (std::size_t i = 0; i < sum.size(); ++i)
            ASSERT_EQ(sum[i], tree_sum(0, kSamples,
                                       [&](std::int64_t sample) {
                                         return p == 1 && sample % 2 == 1 ? 0.0f
                                                                          : gradient(sample, p, i);
                                       }))
                << ranks << " replicas, parameter " << p;
        }
      }
    });
}

}  // namespace
}  // namespace tandem::parallel
