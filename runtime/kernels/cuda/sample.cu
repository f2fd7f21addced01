// Drawing tokens: exact top-k and top-p without sorting, a block per row. The last token that is
// kept is found by its logit's bits, four at a time from the top: every pass adds up how much (of
// tokens, or of probability) each of the sixteen continuations holds.
#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kMaxSampleBlock = 512;
constexpr int kBuckets = 16;
constexpr unsigned kAhead = 8;

// Order of keys = order of logits; NaN below everything, −0 as 0.
__device__ inline unsigned key_of(float x) {
  if (!(x == x)) return 0;
  const unsigned bits = __float_as_uint(x + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ inline float logit_of(unsigned key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

struct MaximumKey {
  __device__ static unsigned long long of(unsigned long long a, unsigned long long b) {
    return b > a ? b : a;
  }
};

// visit(j, logit) for every blockDim.x-th token j; kAhead reads are on their way at once.
template <typename Visit>
__device__ inline void each_token(const float* x, std::int64_t width, const Visit& visit) {
  for (std::int64_t j = threadIdx.x; j < width; j += kAhead * blockDim.x) {
    float logits[kAhead];
#pragma unroll
    for (unsigned i = 0; i < kAhead; ++i) {
      const std::int64_t at = j + i * blockDim.x;
      logits[i] = x[at < width ? at : j];
    }
#pragma unroll
    for (unsigned i = 0; i < kAhead; ++i) {
      const std::int64_t at = j + i * blockDim.x;
      if (at < width) visit(at, logits[i]);
    }
  }
}

// The greatest logit's index, the lowest among equals.
__device__ inline std::int64_t greatest_index(const float* x, std::int64_t width) {
  unsigned long long best = 0;
  each_token(x, width, [&](std::int64_t j, float logit) {
    const auto index = static_cast<unsigned>(j);
    best = MaximumKey::of(best, static_cast<unsigned long long>(key_of(logit)) << 32 | ~index);
  });
  best = block_reduce<MaximumKey>(best, 0ull);
  return static_cast<std::int64_t>(~static_cast<unsigned>(best));
}

struct SampleRow {
  const float* x;
  std::int64_t width;
  float maximum, inverse_temperature;

  // Of a sampling distribution, not yet divided by the sum.
  __device__ float weight(float logit) const {
    return logit == logit ? expf((logit - maximum) * inverse_temperature) : 0.0f;
  }
  // A thread's share of neighbouring tokens, for what goes in token order.
  __device__ std::int64_t share() const { return (width + blockDim.x - 1) / blockDim.x; }
  __device__ std::int64_t share_begin(unsigned thread) const {
    return least<std::int64_t>(width, thread * share());
  }
};

// Kept are tokens above `key`, and those equal to it up to `index`.
struct Last {
  unsigned key = 0;
  std::int64_t index = 0x7fffffff;

  __device__ bool keeps(float logit, std::int64_t j) const {
    const unsigned own = key_of(logit);
    return own > key || (own == key && j <= index);
  }
};

// One pass: bucket[d] = what continuation d of `prefix` holds. memory: [kBuckets · threads].
__device__ inline void add_up_buckets(const SampleRow& row, unsigned prefix, int shift,
                                      bool by_weight, float* memory, float* bucket) {
  __shared__ float parts[kMaxSampleBlock];
  const unsigned threads = blockDim.x, t = threadIdx.x;
  for (int d = 0; d < kBuckets; ++d) memory[d * threads + t] = 0.0f;
  each_token(row.x, row.width, [&](std::int64_t, float logit) {
    const unsigned key = key_of(logit);
    if ((key >> shift) >> 4 != (prefix >> shift) >> 4) return;
    const float weight = row.weight(logit);
    if (weight > 0.0f) memory[((key >> shift) & 15u) * threads + t] += by_weight ? weight : 1.0f;
  });
  __syncthreads();
  float sum = 0.0f;
  for (unsigned i = 0; i < kBuckets; ++i)
    sum += memory[t % kBuckets * threads + t / kBuckets * kBuckets + i];
  parts[t] = sum;
  __syncthreads();
  if (t < kBuckets) {
    float total = 0.0f;
    for (unsigned i = t; i < threads; i += kBuckets) total += parts[i];
    bucket[t] = total;
  }
  __syncthreads();
}

// The index of the `wanted`-th token of this key in token order (the last one when there are
// fewer). memory: [threads].
__device__ inline std::int64_t nth_of_key(const SampleRow& row, unsigned key, std::int64_t wanted,
                                          int* memory) {
  __shared__ int index;
  const std::int64_t begin = row.share_begin(threadIdx.x), end = row.share_begin(threadIdx.x + 1);
  int own = 0;
  for (std::int64_t j = begin; j < end; ++j) own += key_of(row.x[j]) == key ? 1 : 0;
  memory[threadIdx.x] = own;
  if (threadIdx.x == 0) index = 0x7fffffff;
  __syncthreads();
  std::int64_t before = 0;
  for (unsigned t = 0; t < threadIdx.x; ++t) before += memory[t];
  if (before < wanted && wanted <= before + own)
    for (std::int64_t j = begin; j < end; ++j)
      if (key_of(row.x[j]) == key && ++before == wanted) index = static_cast<int>(j);
  __syncthreads();
  const std::int64_t result = index;
  __syncthreads();
  return result;
}

// The last of the shortest prefix, by rank, that holds `wanted`.
__device__ inline Last last_of_prefix(const SampleRow& row, float wanted, bool by_weight,
                                      float* memory) {
  __shared__ float bucket[kBuckets];
  unsigned prefix = 0;
  float before = 0.0f;
  for (int shift = 28; shift >= 0; shift -= 4) {
    add_up_buckets(row, prefix, shift, by_weight, memory, bucket);
    unsigned chosen = 0;
    float before_chosen = before, sum = before;
    for (int d = kBuckets - 1; d >= 0; --d) {
      if (bucket[d] <= 0.0f) continue;
      chosen = static_cast<unsigned>(d);  // the lowest that is not empty, when rounding finds none
      before_chosen = sum;
      sum += bucket[d];
      if (sum >= wanted) break;
    }
    prefix |= chosen << shift;
    before = before_chosen;
  }
  const float each = by_weight ? row.weight(logit_of(prefix)) : 1.0f;
  const float ties = ceilf((wanted - before) / each);
  const std::int64_t count = ties < 1.0f   ? 1
                             : ties > 2e9f ? 2000000000
                                           : static_cast<std::int64_t>(ties);
  return {prefix, nth_of_key(row, prefix, count, reinterpret_cast<int*>(memory))};
}

__device__ inline double kept_weight(const SampleRow& row, const Last& last) {
  double sum = 0.0;
  each_token(row.x, row.width, [&](std::int64_t j, float logit) {
    if (last.keeps(logit, j)) sum += static_cast<double>(row.weight(logit));
  });
  return block_sum(sum);
}

__device__ inline Last last_kept(const SampleRow& row, const SampleTask& task, float* memory) {
  Last last;
  if (task.top_k > 0 && task.top_k < row.width)
    last = last_of_prefix(row, static_cast<float>(task.top_k), false, memory);
  if (task.top_p >= 1.0f) return last;
  const auto wanted = static_cast<float>(static_cast<double>(task.top_p) * kept_weight(row, last));
  return last_of_prefix(row, wanted, true, memory);
}

// The first kept token at which the running sum passes uniform · total. memory: [threads].
__device__ inline std::int64_t draw(const SampleRow& row, const Last& last, float uniform,
                                    double* memory) {
  __shared__ int token;
  const unsigned t = threadIdx.x;
  double own = 0.0;
  for (std::int64_t j = row.share_begin(t); j < row.share_begin(t + 1); ++j)
    if (last.keeps(row.x[j], j)) own += static_cast<double>(row.weight(row.x[j]));
  memory[t] = own;
  __syncthreads();
  if (t == 0) {
    double total = 0.0, sum = 0.0;
    for (unsigned i = 0; i < blockDim.x; ++i) total += memory[i];
    const double target = static_cast<double>(uniform) * total;
    unsigned thread = 0, last_thread = 0;
    for (; thread < blockDim.x; ++thread) {
      if (memory[thread] <= 0.0) continue;
      last_thread = thread;
      if (sum + memory[thread] > target) break;
      sum += memory[thread];
    }
    if (thread == blockDim.x) sum -= memory[last_thread];
    std::int64_t found = row.share_begin(last_thread);
    for (std::int64_t j = found; j < row.share_begin(last_thread + 1); ++j) {
      const float weight = last.keeps(row.x[j], j) ? row.weight(row.x[j]) : 0.0f;
      if (weight <= 0.0f) continue;
      found = j;
      sum += static_cast<double>(weight);
      if (sum > target) break;
    }
    token = static_cast<int>(found);
  }
  __syncthreads();
  return token;
}

__global__ void __launch_bounds__(kMaxSampleBlock)
    sample_kernel(const float* logits, std::int64_t width, SampleTask task, const float* uniform,
                  std::int32_t* tokens) {
  const float* x = logits + blockIdx.x * width;
  std::int64_t token = greatest_index(x, width);
  const float maximum = x[token];
  const bool greedy = task.temperature <= 0.0f || task.top_k == 1 || maximum - maximum != 0.0f;
  if (!greedy) {
    const SampleRow row = {x, width, maximum, 1.0f / task.temperature};
    auto* memory = dynamic_shared<float>();
    const Last last = last_kept(row, task, memory);
    token = draw(row, last, uniform[blockIdx.x], dynamic_shared<double>());
  }
  if (threadIdx.x == 0) tokens[blockIdx.x] = static_cast<std::int32_t>(token);
}

void sample(const float* logits, std::int64_t n, std::int64_t width, const SampleTask& task,
            const float* uniform, std::int32_t* tokens, cudaStream_t stream) {
  const unsigned block = threads_for(width, kPack, kMaxSampleBlock);
  launch(sample_kernel, dim3(static_cast<unsigned>(n)), block, kBuckets * block * sizeof(float),
         stream, logits, width, task, uniform, tokens);
}

}  // namespace tandem::runtime::cuda
