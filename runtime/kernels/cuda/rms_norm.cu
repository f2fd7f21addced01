#include "runtime/kernels/cuda/norm.h"

namespace tandem::runtime::cuda {

// Of the backward kernels, at most: threads enough for most rows with registers enough for one.
constexpr unsigned kRmsNormBlock = 1024;

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

template <typename T, bool kAligned>
__global__ void __launch_bounds__(kRmsNormBlock)
    rms_norm_backward_kernel(const T* h, const float* weight, const float* rstd, const T* dy,
                             const T* dh_in, NormRows rows, T* dh, float* partial) {
  const Pack w = unpacked(load_words<kAligned>(weight + rows.column(), rows.columns()));
  Pack dweight = {};
  TeamSums<1> sums{rows.lanes};
  const float share = 1.0f / static_cast<float>(rows.width);
  for (int first = 0; first < rows.count(); first += rows.teams) {
    const NormBackwardRow<T, kAligned> row(rows, first, h, dy, dh_in);
    const float r = row.live ? rstd[row.i] : 0.0f;
    const Pack x = unpacked(row.h), d = unpacked(row.dy);
    float products[1] = {};
#pragma unroll
    for (int k = 0; k < kPack; ++k) {
      products[0] += x.v[k] * d.v[k] * w.v[k];
      dweight.v[k] += d.v[k] * x.v[k] * r;
    }
    sums(products);
    const float projection = products[0] * r * r * r * share;
    Pack g = unpacked(row.dh_in);
#pragma unroll
    for (int k = 0; k < kPack; ++k) g.v[k] += d.v[k] * w.v[k] * r - x.v[k] * projection;
    store<kAligned>(dh + row.at, g, row.count);
  }
  store_sums<kAligned>(rows, dweight, partial + blockIdx.x * rows.width);
}

// Rows of which a thread has several packs: it adds to the block's partial sums in memory, where
// its columns are its own.
template <typename T>
__global__ void __launch_bounds__(kRmsNormBlock)
    rms_norm_backward_wide_kernel(const T* h, const float* weight, const float* rstd, const T* dy,
                                  const T* dh_in, NormRows rows, T* dh, float* partial,
                                  bool aligned) {
  const std::int64_t width = rows.width, step = blockDim.x * kPack;
  float* sums = partial + blockIdx.x * width;
  for (int of_block = 0; of_block < rows.count(); ++of_block) {
    const std::int64_t i = rows.begin() + of_block, row = i * width;
    const float r = rstd[i];
    float products = 0.0f;
    for (std::int64_t j = rows.column(); j < width; j += step) {
      const std::int64_t count = width - j;
      const Pack x = load(h + row + j, count, aligned), d = load(dy + row + j, count, aligned),
                 w = load(weight + j, count, aligned);
      Pack dweight = {};
      if (of_block > 0) dweight = load(sums + j, count, aligned);
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        products += x.v[k] * d.v[k] * w.v[k];
        dweight.v[k] += d.v[k] * x.v[k] * r;
      }
      store(sums + j, dweight, count, aligned);
    }
    const float projection = block_sum(products) * r * r * r / static_cast<float>(width);
    for (std::int64_t j = rows.column(); j < width; j += step) {
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
}

template <typename T>
void rms_norm_backward(const T* h, const float* weight, const float* rstd, const T* dy,
                       const T* dh_in, std::int64_t n, std::int64_t width, T* dh, float* partial,
                       cudaStream_t stream) {
  const NormBackwardLaunch on = norm_backward_launch(n, width, kRmsNormBlock);
  const bool aligned = aligned_rows(width, h, weight, dy, dh_in, dh, partial);
  if (on.wide)
    launch(rms_norm_backward_wide_kernel<T>, on.grid, on.block, on.shared, stream, h, weight, rstd,
           dy, dh_in, on.rows, dh, partial, aligned);
  else
    launch(aligned ? rms_norm_backward_kernel<T, true> : rms_norm_backward_kernel<T, false>,
           on.grid, on.block, on.shared, stream, h, weight, rstd, dy, dh_in, on.rows, dh, partial);
}

std::int64_t norm_blocks(std::int64_t n, std::int64_t width) {
  return norm_backward_launch(n, width, kRmsNormBlock).grid.x;
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
