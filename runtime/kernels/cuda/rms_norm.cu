#include "runtime/kernels/cuda/norm.h"

namespace tandem::runtime::cuda {

template <typename T>
__global__ void rms_norm_forward_kernel(const T* x, const T* residual, const float* weight,
                                        float eps, std::int64_t width, T* h, T* y, float* rstd,
                                        bool aligned) {
  const std::int64_t row = blockIdx.x * width, step = blockDim.x * kPack;
  float squares = 0.0f;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
    const Pack v = add_residual(x + row + j, residual == nullptr ? nullptr : residual + row + j,
                                h + row + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k) squares += v.v[k] * v.v[k];
  }
  const float r = 1.0f / sqrtf(block_sum(squares) / static_cast<float>(width) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = r;
  // The row comes out of the cache; each thread reads what it wrote itself.
  const T* in = residual == nullptr ? x : h;
  for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
    Pack v = load(in + row + j, width - j, aligned);
    const Pack w = load(weight + j, width - j, aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k) v.v[k] = v.v[k] * r * w.v[k];
    store(y + row + j, v, width - j, aligned);
  }
}

template <typename T>
void rms_norm_forward(const T* x, const T* residual, const float* weight, float eps, std::int64_t n,
                      std::int64_t width, T* h, T* y, float* rstd, cudaStream_t stream) {
  launch(rms_norm_forward_kernel<T>, dim3(static_cast<unsigned>(n)),
         threads_for(width, kPack, kNormBlock), 0, stream, x, residual, weight, eps, width, h, y,
         rstd, aligned_rows(width, x, residual, weight, h, y));
}

template <typename T>
__global__ void rms_norm_backward_kernel(const T* h, const float* weight, const float* rstd,
                                         const T* dy, const T* dh_in, std::int64_t n,
                                         std::int64_t width, std::int64_t block_rows, T* dh,
                                         float* partial, bool in_shared, bool aligned) {
  const NormRows rows(n, block_rows, partial, width, in_shared);
  const std::int64_t step = blockDim.x * kPack;
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const std::int64_t row = i * width;
    const float r = rstd[i];
    float products = 0.0f;
    for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
      const std::int64_t count = width - j;
      const Pack x = load(h + row + j, count, aligned), d = load(dy + row + j, count, aligned),
                 w = load(weight + j, count, aligned);
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        products += x.v[k] * d.v[k] * w.v[k];
        if (k < count) rows.sums[j + k] += d.v[k] * x.v[k] * r;
      }
    }
    const float projection = block_sum(products) * r * r * r / static_cast<float>(width);
    for (std::int64_t j = threadIdx.x * kPack; j < width; j += step) {
      const std::int64_t count = width - j;
      const Pack x = load(h + row + j, count, aligned), d = load(dy + row + j, count, aligned),
                 w = load(weight + j, count, aligned);
      Pack g = {};
      if (dh_in != nullptr) g = load(dh_in + row + j, count, aligned);
#pragma unroll
      for (int k = 0; k < kPack; ++k) g.v[k] += d.v[k] * w.v[k] * r - x.v[k] * projection;
      store(dh + row + j, g, count, aligned);
    }
  }
  rows.finish(partial, width);
}

template <typename T>
void rms_norm_backward(const T* h, const float* weight, const float* rstd, const T* dy,
                       const T* dh_in, std::int64_t n, std::int64_t width, T* dh, float* partial,
                       cudaStream_t stream) {
  const NormBackwardLaunch on = norm_backward_launch(n, width, width);
  launch(rms_norm_backward_kernel<T>, on.grid, on.block, on.shared, stream, h, weight, rstd, dy,
         dh_in, n, width, on.rows_per_block, dh, partial, on.shared > 0,
         aligned_rows(width, h, weight, dy, dh_in, dh));
}

template void rms_norm_forward(const float*, const float*, const float*, float, std::int64_t,
                               std::int64_t, float*, float*, float*, cudaStream_t);
template void rms_norm_forward(const Bf16*, const Bf16*, const float*, float, std::int64_t,
                               std::int64_t, Bf16*, Bf16*, float*, cudaStream_t);
template void rms_norm_forward(const Fp16*, const Fp16*, const float*, float, std::int64_t,
                               std::int64_t, Fp16*, Fp16*, float*, cudaStream_t);
template void rms_norm_backward(const float*, const float*, const float*, const float*,
                                const float*, std::int64_t, std::int64_t, float*, float*,
                                cudaStream_t);
template void rms_norm_backward(const Bf16*, const float*, const float*, const Bf16*, const Bf16*,
                                std::int64_t, std::int64_t, Bf16*, float*, cudaStream_t);
template void rms_norm_backward(const Fp16*, const float*, const float*, const Fp16*, const Fp16*,
                                std::int64_t, std::int64_t, Fp16*, float*, cudaStream_t);

}  // namespace tandem::runtime::cuda
