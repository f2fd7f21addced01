// Over rows of logits, which are large (tens of thousands of columns): a block per row.
#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;
constexpr unsigned kRowBlock = 512;

template <typename T>
__global__ void row_max_kernel(const T* logits, std::int64_t width, float* maximum, bool aligned) {
  const T* row = logits + blockIdx.x * width;
  float best = -kInfinity;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += blockDim.x * kPack) {
    const Pack x = load(row + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      if (k < width - j) best = Maximum::of(best, x.v[k]);
  }
  best = block_maximum(best);
  if (threadIdx.x == 0) maximum[blockIdx.x] = best;
}

template <typename T>
void row_max(const T* logits, std::int64_t n, std::int64_t width, float* maximum,
             cudaStream_t stream) {
  launch(row_max_kernel<T>, dim3(static_cast<unsigned>(n)), threads_for(width, kPack, kRowBlock), 0,
         stream, logits, width, maximum, aligned_rows(width, logits));
}

// Of one row, with e = exp(x − maximum): Σ e and Σ e·(x − maximum). Threads add up in fp32, their
// sums are added in fp64: the error of a long row stays near that of a short one.
struct SoftmaxSums {
  float e = 0.0f, ex = 0.0f;

  __device__ void add(float shifted) {
    const float value = expf(shifted);
    e += value;
    ex += value > 0.0f ? value * shifted : 0.0f;  // a masked logit of −∞ counts as 0
  }
  // To a maximum that is larger by `rise`.
  __device__ void shift(float rise) {
    if (!(e > 0.0f)) return;
    const float factor = expf(-rise);
    ex = factor > 0.0f ? factor * (ex - e * rise) : 0.0f;
    e *= factor;
  }
};

// Of the block's row, from the sums of its threads.
__device__ inline void write_sums(const SoftmaxSums& of_thread, float to_target, float* sums) {
  const double e = block_sum(static_cast<double>(of_thread.e));
  const double ex = block_sum(static_cast<double>(of_thread.ex));
  if (threadIdx.x != 0) return;
  float* out = sums + 3 * static_cast<std::int64_t>(blockIdx.x);
  out[0] = static_cast<float>(e);
  out[1] = static_cast<float>(ex);
  out[2] = to_target;
}

// x − maximum at the block's target, 0 where that is another rank's.
template <typename T>
__device__ inline float target_of(const T* row, float maximum, const std::int32_t* targets,
                                  std::int64_t first_column, std::int64_t width) {
  const std::int64_t target = targets[blockIdx.x] - first_column;
  return target >= 0 && target < width ? to_float(row[target]) - maximum : 0.0f;
}

template <typename T>
__global__ void softmax_sums_kernel(const T* logits, const float* maximum,
                                    const std::int32_t* targets, std::int64_t first_column,
                                    std::int64_t width, float* sums, bool aligned) {
  const T* row = logits + blockIdx.x * width;
  const float m = maximum[blockIdx.x];
  SoftmaxSums of_thread;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += blockDim.x * kPack) {
    const Pack x = load(row + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      if (k < width - j) of_thread.add(x.v[k] - m);
  }
  write_sums(of_thread, target_of(row, m, targets, first_column, width), sums);
}

// Every thread has a maximum of its own until the row's is known. (Milakov & Gimelshein 2018)
template <typename T>
__global__ void row_max_and_sums_kernel(const T* logits, const std::int32_t* targets,
                                        std::int64_t first_column, std::int64_t width,
                                        float* maximum, float* sums, bool aligned) {
  const T* row = logits + blockIdx.x * width;
  float m = -kInfinity;
  SoftmaxSums of_thread;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += blockDim.x * kPack) {
    const Pack x = load(row + j, width - j, aligned);
    float best = m;
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      if (k < width - j) best = Maximum::of(best, x.v[k]);
    if (best > m) of_thread.shift(best - m);
    m = best;
#pragma unroll
    for (int k = 0; k < kPack; ++k)  // m is −∞ where all so far is
      if (k < width - j) of_thread.add(x.v[k] == -kInfinity ? -kInfinity : x.v[k] - m);
  }
  const float best = block_maximum(m);
  if (best > m) of_thread.shift(best - m);
  if (threadIdx.x == 0) maximum[blockIdx.x] = best;
  write_sums(of_thread, target_of(row, best, targets, first_column, width), sums);
}

template <typename T>
void row_max_and_sums(const T* logits, const std::int32_t* targets, std::int64_t first_column,
                      std::int64_t n, std::int64_t width, float* maximum, float* sums,
                      cudaStream_t stream) {
  launch(row_max_and_sums_kernel<T>, dim3(static_cast<unsigned>(n)),
         threads_for(width, kPack, kRowBlock), 0, stream, logits, targets, first_column, width,
         maximum, sums, aligned_rows(width, logits));
}

template <typename T>
void softmax_sums(const T* logits, const float* maximum, const std::int32_t* targets,
                  std::int64_t first_column, std::int64_t n, std::int64_t width, float* sums,
                  cudaStream_t stream) {
  launch(softmax_sums_kernel<T>, dim3(static_cast<unsigned>(n)),
         threads_for(width, kPack, kRowBlock), 0, stream, logits, maximum, targets, first_column,
         width, sums, aligned_rows(width, logits));
}

__global__ void softmax_stats_kernel(const float* maximum, const float* sums, std::int64_t n,
                                     float* lse, float* log_prob, float* entropy) {
  const std::int64_t i = global_thread();
  if (i >= n) return;
  const double s = static_cast<double>(sums[3 * i]), log_sum = log(s);
  lse[i] = static_cast<float>(static_cast<double>(maximum[i]) + log_sum);
  log_prob[i] = static_cast<float>(static_cast<double>(sums[3 * i + 2]) - log_sum);
  entropy[i] = static_cast<float>(log_sum - static_cast<double>(sums[3 * i + 1]) / s);
}

void softmax_stats(const float* maximum, const float* sums, std::int64_t n, float* lse,
                   float* log_prob, float* entropy, cudaStream_t stream) {
  launch(softmax_stats_kernel, grid_for(n, kBlock), kBlock, 0, stream, maximum, sums, n, lse,
         log_prob, entropy);
}

// Gradients of one row; the target's column is computed apart, so that it is rounded once.
struct SoftmaxRow {
  float lse, g_logp, entropy, g_entropy;

  __device__ float other(float x) const {
    const float logp = x - lse, p = expf(logp);
    if (g_entropy == 0.0f) return p * -g_logp;
    return p > 0.0f ? p * (-g_logp - g_entropy * (logp + entropy)) : 0.0f;
  }
  __device__ float target(float x) const {
    const float logp = x - lse, p = expf(logp);
    return g_logp * (1.0f - p) - (p > 0.0f ? g_entropy * p * (logp + entropy) : 0.0f);
  }
};

template <typename In, typename Out>
__global__ void softmax_backward_kernel(const In* logits, const float* lse,
                                        const std::int32_t* targets, std::int64_t first_column,
                                        const float* g_logp, const float* entropy,
                                        const float* g_entropy, std::int64_t width, Out* dlogits,
                                        bool aligned) {
  const std::int64_t i = blockIdx.x, target = targets[i] - first_column;
  const SoftmaxRow row = {lse[i], g_logp[i], entropy == nullptr ? 0.0f : entropy[i],
                          g_entropy == nullptr ? 0.0f : g_entropy[i]};
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += blockDim.x * kPack) {
    Pack x = load(logits + i * width + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      x.v[k] = j + k == target ? row.target(x.v[k]) : row.other(x.v[k]);
    store(dlogits + i * width + j, x, width - j, aligned);
  }
}

template <typename In, typename Out>
void softmax_backward(const In* logits, const float* lse, const std::int32_t* targets,
                      std::int64_t first_column, const float* g_logp, const float* entropy,
                      const float* g_entropy, std::int64_t n, std::int64_t width, Out* dlogits,
                      cudaStream_t stream) {
  launch(softmax_backward_kernel<In, Out>, dim3(static_cast<unsigned>(n)),
         threads_for(width, kPack, kRowBlock), 0, stream, logits, lse, targets, first_column,
         g_logp, entropy, g_entropy, width, dlogits, aligned_rows(width, logits, dlogits));
}

template void row_max(const float*, std::int64_t, std::int64_t, float*, cudaStream_t);
template void row_max(const Bf16*, std::int64_t, std::int64_t, float*, cudaStream_t);
template void row_max(const Fp16*, std::int64_t, std::int64_t, float*, cudaStream_t);
template void softmax_sums(const float*, const float*, const std::int32_t*, std::int64_t,
                           std::int64_t, std::int64_t, float*, cudaStream_t);
template void softmax_sums(const Bf16*, const float*, const std::int32_t*, std::int64_t,
                           std::int64_t, std::int64_t, float*, cudaStream_t);
template void softmax_sums(const Fp16*, const float*, const std::int32_t*, std::int64_t,
                           std::int64_t, std::int64_t, float*, cudaStream_t);
template void row_max_and_sums(const float*, const std::int32_t*, std::int64_t, std::int64_t,
                               std::int64_t, float*, float*, cudaStream_t);
template void row_max_and_sums(const Bf16*, const std::int32_t*, std::int64_t, std::int64_t,
                               std::int64_t, float*, float*, cudaStream_t);
template void row_max_and_sums(const Fp16*, const std::int32_t*, std::int64_t, std::int64_t,
                               std::int64_t, float*, float*, cudaStream_t);
template void softmax_backward(const float*, const float*, const std::int32_t*, std::int64_t,
                               const float*, const float*, const float*, std::int64_t, std::int64_t,
                               float*, cudaStream_t);
template void softmax_backward(const float*, const float*, const std::int32_t*, std::int64_t,
                               const float*, const float*, const float*, std::int64_t, std::int64_t,
                               Bf16*, cudaStream_t);
template void softmax_backward(const float*, const float*, const std::int32_t*, std::int64_t,
                               const float*, const float*, const float*, std::int64_t, std::int64_t,
                               Fp16*, cudaStream_t);
template void softmax_backward(const Bf16*, const float*, const std::int32_t*, std::int64_t,
                               const float*, const float*, const float*, std::int64_t, std::int64_t,
                               float*, cudaStream_t);
template void softmax_backward(const Fp16*, const float*, const std::int32_t*, std::int64_t,
                               const float*, const float*, const float*, std::int64_t, std::int64_t,
                               float*, cudaStream_t);
template void softmax_backward(const Bf16*, const float*, const std::int32_t*, std::int64_t,
                               const float*, const float*, const float*, std::int64_t, std::int64_t,
                               Bf16*, cudaStream_t);
template void softmax_backward(const Fp16*, const float*, const std::int32_t*, std::int64_t,
                               const float*, const float*, const float*, std::int64_t, std::int64_t,
                               Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
