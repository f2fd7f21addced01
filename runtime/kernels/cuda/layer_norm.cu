// As rms_norm.cu, with mean and bias. The variance is taken around the mean in a second pass over
// the cached row: Σx² − mean² would lose it when the mean is large.
#include "runtime/kernels/cuda/norm.h"

namespace tandem::runtime::cuda {

template <typename T>
__global__ void layer_norm_forward_kernel(const T* x, const T* residual, const float* weight,
                                          const float* bias, float eps, std::int64_t width, T* h,
                                          T* y, float* mean, float* rstd, bool aligned) {
  const std::int64_t row = blockIdx.x * width, step = blockDim.x * kPack;
  float total = 0.0f;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
    const Pack v = add_residual(x + row + j, residual == nullptr ? nullptr : residual + row + j,
                                h + row + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k) total += v.v[k];
  }
  const float m = block_sum(total) / static_cast<float>(width);
  const T* in = residual == nullptr ? x : h;
  float squares = 0.0f;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
    const Pack v = load(in + row + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      if (k < width - j) squares += (v.v[k] - m) * (v.v[k] - m);
  }
  const float r = 1.0f / sqrtf(block_sum(squares) / static_cast<float>(width) + eps);
  if (threadIdx.x == 0) {
    mean[blockIdx.x] = m;
    rstd[blockIdx.x] = r;
  }
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
    const std::int64_t count = width - j;
    Pack v = load(in + row + j, count, aligned);
    const Pack w = load(weight + j, count, aligned);
    Pack b = {};
    if (bias != nullptr) b = load(bias + j, count, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k) v.v[k] = (v.v[k] - m) * r * w.v[k] + b.v[k];
    store(y + row + j, v, count, aligned);
  }
}

template <typename T>
void layer_norm_forward(const T* x, const T* residual, const float* weight, const float* bias,
                        float eps, std::int64_t n, std::int64_t width, T* h, T* y, float* mean,
                        float* rstd, cudaStream_t stream) {
  launch(layer_norm_forward_kernel<T>, dim3(static_cast<unsigned>(n)),
         threads_for(width, kPack, kNormBlock), 0, stream, x, residual, weight, bias, eps, width, h,
         y, mean, rstd, aligned_rows(width, x, residual, weight, bias, h, y));
}

// dh = rstd · (g − mean(g) − x̂ · mean(g·x̂)) with g = dy · weight, x̂ = (h − mean) · rstd.
template <typename T>
__global__ void layer_norm_backward_kernel(const T* h, const float* weight, const float* mean,
                                           const float* rstd, const T* dy, const T* dh_in,
                                           std::int64_t n, std::int64_t width,
                                           std::int64_t block_rows, T* dh, float* partial,
                                           bool in_shared, bool aligned) {
  const NormRows rows(n, block_rows, partial, 2 * width, in_shared);
  const std::int64_t step = blockDim.x * kPack;
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const std::int64_t row = i * width;
    const float m = mean[i], r = rstd[i];
    float g_total = 0.0f, product_total = 0.0f;
    for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
      const std::int64_t count = width - j;
      const Pack x = load(h + row + j, count, aligned), d = load(dy + row + j, count, aligned),
                 w = load(weight + j, count, aligned);
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        const float normal = (x.v[k] - m) * r, g = d.v[k] * w.v[k];
        g_total += g;
        product_total += g * normal;
        if (k >= count) continue;
        rows.sums[j + k] += d.v[k] * normal;
        rows.sums[width + j + k] += d.v[k];
      }
    }
    const float g_mean = block_sum(g_total) / static_cast<float>(width);
    const float product_mean = block_sum(product_total) / static_cast<float>(width);
    for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
      const std::int64_t count = width - j;
      const Pack x = load(h + row + j, count, aligned), d = load(dy + row + j, count, aligned),
                 w = load(weight + j, count, aligned);
      Pack g = {};
      if (dh_in != nullptr) g = load(dh_in + row + j, count, aligned);
#pragma unroll
      for (int k = 0; k < kPack; ++k)
        g.v[k] += (d.v[k] * w.v[k] - g_mean - (x.v[k] - m) * r * product_mean) * r;
      store(dh + row + j, g, count, aligned);
    }
  }
  rows.finish(partial, 2 * width);
}

template <typename T>
void layer_norm_backward(const T* h, const float* weight, const float* mean, const float* rstd,
                         const T* dy, const T* dh_in, std::int64_t n, std::int64_t width, T* dh,
                         float* partial, cudaStream_t stream) {
  const NormBackwardLaunch on = norm_backward_launch(n, width, 2 * width);
  launch(layer_norm_backward_kernel<T>, on.grid, on.block, on.shared, stream, h, weight, mean, rstd,
         dy, dh_in, n, width, on.rows_per_block, dh, partial, on.shared > 0,
         aligned_rows(width, h, weight, dy, dh_in, dh));
}

template void layer_norm_forward(const float*, const float*, const float*, const float*, float,
                                 std::int64_t, std::int64_t, float*, float*, float*, float*,
                                 cudaStream_t);
template void layer_norm_forward(const Bf16*, const Bf16*, const float*, const float*, float,
                                 std::int64_t, std::int64_t, Bf16*, Bf16*, float*, float*,
                                 cudaStream_t);
template void layer_norm_forward(const Fp16*, const Fp16*, const float*, const float*, float,
                                 std::int64_t, std::int64_t, Fp16*, Fp16*, float*, float*,
                                 cudaStream_t);
template void layer_norm_backward(const float*, const float*, const float*, const float*,
                                  const float*, const float*, std::int64_t, std::int64_t, float*,
                                  float*, cudaStream_t);
template void layer_norm_backward(const Bf16*, const float*, const float*, const float*,
                                  const Bf16*, const Bf16*, std::int64_t, std::int64_t, Bf16*,
                                  float*, cudaStream_t);
template void layer_norm_backward(const Fp16*, const float*, const float*, const float*,
                                  const Fp16*, const Fp16*, std::int64_t, std::int64_t, Fp16*,
                                  float*, cudaStream_t);

}  // namespace tandem::runtime::cuda
