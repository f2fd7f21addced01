#include "data/sampler.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/base/random.h"

namespace tandem::data {

using runtime::throw_error;

void validate_batch_sizes(std::int64_t global_batch_size, std::int64_t micro_batch_size,
                          std::int64_t shard_count) {
  if (global_batch_size < 1)
    throw_error("global_batch_size is {}; it must be at least 1", global_batch_size);
  if (micro_batch_size < 1)
    throw_error("micro_batch_size is {}; it must be at least 1", micro_batch_size);
  TANDEM_CHECK(shard_count >= 1, "{} shards", shard_count);
  const std::int64_t unit = micro_batch_size * shard_count;
  if (global_batch_size % unit == 0) return;
  const std::int64_t below = global_batch_size / unit * unit;
  throw_error(
      "global_batch_size {} does not divide by {} data-parallel shards × micro_batch_size {}; use "
      "{}{} instead",
      global_batch_size, shard_count, micro_batch_size,
      below > 0 ? std::to_string(below) + " or " : "", below + unit);
}

Sampler::Sampler(const Options& options) : options_(options) {
  if (options.dataset_size < 1)
    throw_error("the data set is empty: there is nothing to sample; check its path");
  if (options.global_batch_size < 1)
    throw_error("global_batch_size is {}; it must be at least 1", options.global_batch_size);
}

std::vector<SampleId> Sampler::batch(std::int64_t shard, std::int64_t shard_count) const {
  TANDEM_CHECK(shard >= 0 && shard < shard_count, "shard {} of {}", shard, shard_count);
  validate_batch_sizes(options_.global_batch_size, 1, shard_count);
  const std::int64_t count = options_.global_batch_size / shard_count;
  std::vector<SampleId> samples;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t place = state_.cursor + shard * count + i;
    const std::int64_t epoch = state_.epoch + place / options_.dataset_size;
    samples.emplace_back(sample(epoch, place % options_.dataset_size), epoch);
  }
  return samples;
}

std::int64_t Sampler::sample(std::int64_t epoch, std::int64_t place) const {
  if (!options_.shuffle) return place;
  const std::uint64_t epoch_seed =
      runtime::Philox(options_.seed, "shuffle").bits64(static_cast<std::uint64_t>(epoch));
  return static_cast<std::int64_t>(
      runtime::permuted_index(epoch_seed, static_cast<std::uint64_t>(options_.dataset_size),
                              static_cast<std::uint64_t>(place)));
}

void Sampler::advance() {
  state_.cursor += options_.global_batch_size;
  state_.epoch += state_.cursor / options_.dataset_size;
  state_.cursor %= options_.dataset_size;
}

void Sampler::restore(const SamplerState& state) {
  if (state.epoch < 0 || state.cursor < 0 || state.cursor >= options_.dataset_size)
    throw_error(
        "the saved data cursor (epoch {}, sample {}) does not fit a data set of {} samples: the "
        "data or its "
        "settings changed since the checkpoint; restore them, or start the stage anew",
        state.epoch, state.cursor, options_.dataset_size);
  state_ = state;
}

double Sampler::epochs_done() const {
  return static_cast<double>(state_.epoch) +
         static_cast<double>(state_.cursor) / static_cast<double>(options_.dataset_size);
}

IndexRange shard_range(std::int64_t size, std::int64_t shard, std::int64_t shard_count) {
  TANDEM_CHECK(shard >= 0 && shard < shard_count, "shard {} of {}", shard, shard_count);
  return {size * shard / shard_count, size * (shard + 1) / shard_count};
}

}  // namespace tandem::data
