// Which samples a step trains on: a pure function of (seed, epoch, cursor), never of the number of
// shards. Each data-parallel shard asks for its part of the global batch, so a run goes on at
// another shard count with the same batches, and the state to save is two integers.
#pragma once

#include <cstdint>
#include <vector>

namespace tandem::data {

// A sample, and the pass over the data in which it is taken: noise is drawn anew in each. An index
// alone stands for pass 0, as evaluations use it.
struct SampleId {
  std::int64_t index = 0;
  std::int64_t epoch = 0;

  SampleId(std::int64_t index, std::int64_t epoch = 0) : index(index), epoch(epoch) {}
  bool operator==(const SampleId&) const = default;
};

struct SamplerState {
  std::int64_t epoch = 0;
  std::int64_t cursor = 0;  // samples of this epoch already taken, by all shards together

  bool operator==(const SamplerState&) const = default;
};

// Throws Error, with the nearest sizes that work, unless global_batch_size divides by shard_count ×
// micro_batch_size.
void validate_batch_sizes(std::int64_t global_batch_size, std::int64_t micro_batch_size,
                          std::int64_t shard_count);

class Sampler {
 public:
  struct Options {
    std::int64_t dataset_size = 0;
    std::int64_t global_batch_size = 1;
    std::uint64_t seed = 0;
    bool shuffle = true;
  };

  // Throws Error when dataset_size or global_batch_size is not positive.
  explicit Sampler(const Options& options);

  // Shard `shard`'s part of the global batch at the cursor, [global_batch_size / shard_count]
  // samples of [0, dataset_size): the parts of shards 0, 1, … put together are the global batch. A
  // batch that reaches the end of an epoch takes the rest from the next epoch. Throws Error when
  // the batch does not divide by shard_count.
  std::vector<SampleId> batch(std::int64_t shard, std::int64_t shard_count) const;
  // Moves the cursor past the global batch. Every shard does this once per step.
  void advance();

  const SamplerState& state() const { return state_; }
  // Throws Error when the state cannot belong to a data set of this size.
  void restore(const SamplerState& state);

  std::int64_t dataset_size() const { return options_.dataset_size; }
  std::int64_t global_batch_size() const { return options_.global_batch_size; }
  // Samples taken since epoch 0 divided by the data set's size.
  double epochs_done() const;

 private:
  // The index at a place of an epoch's order.
  std::int64_t sample(std::int64_t epoch, std::int64_t place) const;

  Options options_;
  SamplerState state_;
};

// Indices [begin, end) of shard `shard` of an evaluation pass over `size` samples in order: every
// sample exactly once over all shards, sizes differ by at most one.
struct IndexRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
IndexRange shard_range(std::int64_t size, std::int64_t shard, std::int64_t shard_count);

}  // namespace tandem::data
