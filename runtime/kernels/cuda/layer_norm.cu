// As rms_norm.cu, with mean and bias. The variance is taken around the mean in a second pass over
// the cached row: Σx² − mean² would lose it when the mean is large.
#include "runtime/kernels/cuda/norm.h"

namespace tandem::runtime::cuda {

// Of the backward kernels, at most: with more threads registers would be too few to fetch a row's
// three packs at once beside two sums of each column.
constexpr unsigned kLayerNormBlock = 512;

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
template <typename T, bool kAligned>
__global__ void __launch_bounds__(kLayerNormBlock)
    layer_norm_backward_kernel(const T* h, const float* weight, const float* mean,
                               const float* rstd, const T* dy, const T* dh_in, NormRows rows, T* dh,
                               float* partial) {
  const Pack w = unpacked(load_words<kAligned>(weight + rows.column(), rows.columns()));
  Pack dweight = {}, dbias = {};
  TeamSums<2> sums{rows.lanes};
  const float share = 1.0f / static_cast<float>(rows.width);
  for (int first = 0; first < rows.count(); first += rows.teams) {
    const NormBackwardRow<T, kAligned> row(rows, first, h, dy, dh_in);
    const float m = row.live ? mean[row.i] : 0.0f, r = row.live ? rstd[row.i] : 0.0f;
    const Pack x = unpacked(row.h), d = unpacked(row.dy);
    float totals[2] = {};  // of g and g·x̂
#pragma unroll
    for (int k = 0; k < kPack; ++k) {
      const float normal = (x.v[k] - m) * r, product = d.v[k] * w.v[k];
      totals[0] += product;
      totals[1] += product * normal;
      dweight.v[k] += d.v[k] * normal;
      dbias.v[k] += d.v[k];
    }
    sums(totals);
    const float g_mean = totals[0] * share, product_mean = totals[1] * share;
    Pack g = unpacked(row.dh_in);
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      g.v[k] += (d.v[k] * w.v[k] - g_mean - (x.v[k] - m) * r * product_mean) * r;
    store<kAligned>(dh + row.at, g, row.count);
  }
  float* target = partial + blockIdx.x * 2 * rows.width;
  store_sums<kAligned>(rows, dweight, target);
  store_sums<kAligned>(rows, dbias, target + rows.width);
}

// Rows of which a thread has several packs, as in rms_norm.cu.
template <typename T>
__global__ void __launch_bounds__(kLayerNormBlock)
    layer_norm_backward_wide_kernel(const T* h, const float* weight, const float* mean,
                                    const float* rstd, const T* dy, const T* dh_in, NormRows rows,
                                    T* dh, float* partial, bool aligned) {
  const std::int64_t width = rows.width, step = blockDim.x * kPack;
  float *weight_sums = partial + blockIdx.x * 2 * width, *bias_sums = weight_sums + width;
  for (int of_block = 0; of_block < rows.count(); ++of_block) {
    const std::int64_t i = rows.begin() + of_block, row = i * width;
    const float m = mean[i], r = rstd[i];
    float g_total = 0.0f, product_total = 0.0f;
    for (std::int64_t j = rows.column(); j < width; j += step) {
      const std::int64_t count = width - j;
      const Pack x = load(h + row + j, count, aligned), d = load(dy + row + j, count, aligned),
                 w = load(weight + j, count, aligned);
      Pack dweight = {}, dbias = {};
      if (of_block > 0) {
        dweight = load(weight_sums + j, count, aligned);
        dbias = load(bias_sums + j, count, aligned);
      }
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        const float normal = (x.v[k] - m) * r, g = d.v[k] * w.v[k];
        g_total += g;
        product_total += g * normal;
        dweight.v[k] += d.v[k] * normal;
        dbias.v[k] += d.v[k];
      }
      store(weight_sums + j, dweight, count, aligned);
      store(bias_sums + j, dbias, count, aligned);
    }
    const float g_mean = block_sum(g_total) / static_cast<float>(width);
    const float product_mean = block_sum(product_total) / static_cast<float>(width);
    for (std::int64_t j = rows.column(); j < width; j += step) {
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
}

template <typename T>
void layer_norm_backward(const T* h, const float* weight, const float* mean, const float* rstd,
                         const T* dy, const T* dh_in, std::int64_t n, std::int64_t width, T* dh,
                         float* partial, cudaStream_t stream) {
  const NormBackwardLaunch on = norm_backward_launch(n, width, kLayerNormBlock);
  const bool aligned = aligned_rows(width, h, weight, dy, dh_in, dh, partial);
  if (on.wide)
    launch(layer_norm_backward_wide_kernel<T>, on.grid, on.block, on.shared, stream, h, weight,
           mean, rstd, dy, dh_in, on.rows, dh, partial, aligned);
  else
    launch(aligned ? layer_norm_backward_kernel<T, true> : layer_norm_backward_kernel<T, false>,
           on.grid, on.block, on.shared, stream, h, weight, mean, rstd, dy, dh_in, on.rows, dh,
           partial);
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
