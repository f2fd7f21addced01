#include "rl/minibatches.h"

#include <cstddef>
#include <numeric>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/random.h"

namespace tandem::rl {
namespace {

// Fisher–Yates with one draw per element.
std::vector<std::int64_t> shuffled(std::int64_t count, const runtime::Philox& random) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[random.below(i, i)]);
  }
  return order;
}

void validate(const MinibatchPlanOptions& options) {
  TANDEM_CHECK(options.minibatches > 0 && options.epochs > 0 && options.data_parallel > 0,
               "{} minibatches, {} epochs, {} ranks", options.minibatches, options.epochs,
               options.data_parallel);
  if (options.samples > 0 && options.samples % (options.minibatches * options.data_parallel) == 0) {
    return;
  }
  runtime::throw_error(
      "ppo: {} rollouts do not divide into {} minibatches over {} data-parallel ranks; make the "
      "rollout batch a multiple of {}",
      options.samples, options.minibatches, options.data_parallel,
      options.minibatches * options.data_parallel);
}

}  // namespace

std::vector<std::int64_t> Minibatch::slice(std::int64_t rank, std::int64_t ranks) const {
  const auto size = static_cast<std::int64_t>(samples.size());
  TANDEM_CHECK(rank >= 0 && rank < ranks && size % ranks == 0, "slice {} of {} of {} samples", rank,
               ranks, size);
  const auto begin = samples.begin() + rank * (size / ranks);
  return {begin, begin + size / ranks};
}

std::vector<Minibatch> plan_minibatches(const MinibatchPlanOptions& options) {
  validate(options);
  const std::int64_t size = options.samples / options.minibatches;
  std::vector<Minibatch> plan;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const auto salt = static_cast<std::uint64_t>(options.iteration * options.epochs + epoch);
    const auto order =
        shuffled(options.samples, runtime::Philox(options.seed, "ppo/minibatches", salt));
    for (std::int64_t index = 0; index < options.minibatches; ++index) {
      const auto begin = order.begin() + index * size;
      plan.push_back({epoch, index, {begin, begin + size}});
    }
  }
  return plan;
}

}  // namespace tandem::rl
