// Memory-bound, like rms_norm.cpp. The variance is taken around the mean in a second pass over the
// cached row: Σx² − mean² would lose it when the mean is large.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/norm.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

inline F32 keep(F32 v, std::int64_t count) {
  return lane_index() < static_cast<std::int32_t>(minimum(count, kLanes)) ? v : F32{};
}

template <typename T>
inline void add_rows(const T* x, const T* residual, std::int64_t width, T* h) {
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const std::int64_t count = width - j;
    store(h + j, load(x + j, count) + load(residual + j, count), count);
  }
}

template <typename T>
inline void statistics(const T* x, std::int64_t width, float eps, float& mean, float& rstd) {
  F32 total = {};
  for (std::int64_t j = 0; j < width; j += kLanes) total += load(x + j, width - j);
  mean = sum(total) / static_cast<float>(width);
  F32 squares = {};
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const F32 v = keep(load(x + j, width - j) - mean, width - j);
    squares += v * v;
  }
  rstd = 1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(width) + eps);
}

template <typename T>
void layer_norm_forward(const T* x, const T* residual, const float* weight, const float* bias,
                        float eps, std::int64_t n, std::int64_t width, T* h, T* y, float* mean,
                        float* rstd) {
  parallel_for(n, n * width, [&](std::int64_t i) {
    const std::int64_t row = i * width;
    if (residual != nullptr) add_rows(x + row, residual + row, width, h + row);
    const T* in = residual != nullptr ? h + row : x + row;
    statistics(in, width, eps, mean[i], rstd[i]);
    for (std::int64_t j = 0; j < width; j += kLanes) {
      const std::int64_t count = width - j;
      F32 v = (load(in + j, count) - mean[i]) * rstd[i] * load(weight + j, count);
      if (bias != nullptr) v += load(bias + j, count);
      store(y + row + j, v, count);
    }
  });
}

// dh = rstd · (g − mean(g) − x̂ · mean(g·x̂)) with g = dy · weight, x̂ = (h − mean) · rstd.
template <typename T>
inline void backward_row(const T* h, const float* weight, float mean, float rstd, const T* dy,
                         const T* dh_in, std::int64_t width, T* dh, float* dweight, float* dbias) {
  F32 g_total = {}, product_total = {};
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const std::int64_t count = width - j;
    const F32 normal = (load(h + j, count) - mean) * rstd, dyv = load(dy + j, count);
    const F32 g = dyv * load(weight + j, count);
    g_total += g;
    product_total += g * normal;
    store(dweight + j, load(dweight + j, count) + dyv * normal, count);
    store(dbias + j, load(dbias + j, count) + dyv, count);
  }
  const float g_mean = sum(g_total) / static_cast<float>(width);
  const float product_mean = sum(product_total) / static_cast<float>(width);
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const std::int64_t count = width - j;
    const F32 normal = (load(h + j, count) - mean) * rstd;
    F32 g = (load(dy + j, count) * load(weight + j, count) - g_mean - normal * product_mean) * rstd;
    if (dh_in != nullptr) g += load(dh_in + j, count);
    store(dh + j, g, count);
  }
}

template <typename T>
void layer_norm_backward(const T* h, const float* weight, const float* mean, const float* rstd,
                         const T* dy, const T* dh_in, std::int64_t n, std::int64_t width, T* dh,
                         float* dweight, float* dbias, bool accumulate) {
  static thread_local Scratch scratch;
  const std::int64_t block_rows = rows_per_block(n), blocks = ceil_div(n, block_rows);
  const std::int64_t stride = 2 * round_up(width, 16);
  float* partial = scratch.floats(blocks * stride);
  parallel_for(blocks, n * width, [&](std::int64_t block) {
    float* sums = partial + block * stride;
    for (std::int64_t j = 0; j < stride; ++j) sums[j] = 0;
    for (std::int64_t i = block * block_rows; i < minimum(n, (block + 1) * block_rows); ++i) {
      const std::int64_t row = i * width;
      backward_row(h + row, weight, mean[i], rstd[i], dy + row,
                   dh_in == nullptr ? nullptr : dh_in + row, width, dh + row, sums,
                   sums + stride / 2);
    }
  });
  add_partials(partial, blocks, stride, width, dweight, accumulate);
  if (dbias != nullptr)
    add_partials(partial + stride / 2, blocks, stride, width, dbias, accumulate);
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.layer_norm_forward = layer_norm_forward<T>;
  kernels.layer_norm_backward = layer_norm_backward<T>;
}

}  // namespace

void fill_layer_norm(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
