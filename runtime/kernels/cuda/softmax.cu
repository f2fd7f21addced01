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

// Threads add up in fp32, their sums are added in fp64: the error of a long row stays near that of
// a short one.
template <typename T>
__global__ void softmax_sums_kernel(const T* logits, const float* maximum,
                                    const std::int32_t* targets, std::int64_t first_column,
                                    std::int64_t width, float* sums, bool aligned) {
  const T* row = logits + blockIdx.x * width;
  const float m = maximum[blockIdx.x];
  float e_sum = 0.0f, ex_sum = 0.0f;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += blockDim.x * kPack) {
    const Pack x = load(row + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k) {
      if (k >= width - j) break;
      const float shifted = x.v[k] - m, e = expf(shifted);
      e_sum += e;
      ex_sum += e > 0.0f ? e * shifted : 0.0f;  // a masked logit of −∞ counts as 0
    }
  }
  const double e_total = block_sum(static_cast<double>(e_sum));
  const double ex_total = block_sum(static_cast<double>(ex_sum));
  if (threadIdx.x != 0) return;
  const std::int64_t target = targets[blockIdx.x] - first_column;
  float* out = sums + 3 * static_cast<std::int64_t>(blockIdx.x);
  out[0] = static_cast<float>(e_total);
  out[1] = static_cast<float>(ex_total);
  out[2] = target >= 0 && target < width ? to_float(row[target]) - m : 0.0f;
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
