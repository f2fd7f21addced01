// Memory-bound: each row is read from memory once and stays in the first-level cache for its second
// pass.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/norm.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

// Writes h = x + residual and returns Σ h² of what was stored.
template <typename T>
inline float add_and_square(const T* x, const T* residual, std::int64_t width, T* h) {
  F32 squares = {};
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const std::int64_t count = width - j;
    store(h + j, load(x + j, count) + load(residual + j, count), count);
    const F32 v = load(h + j, count);
    squares += v * v;
  }
  return sum(squares);
}

template <typename T>
inline float square(const T* x, std::int64_t width) {
  F32 squares = {};
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const F32 v = load(x + j, width - j);
    squares += v * v;
  }
  return sum(squares);
}

template <typename T>
void rms_norm_forward(const T* x, const T* residual, const float* weight, float eps, std::int64_t n,
                      std::int64_t width, T* h, T* y, float* rstd) {
  parallel_for(n, n * width, [&](std::int64_t i) {
    const std::int64_t row = i * width;
    const bool has_residual = residual != nullptr;
    const float squares = has_residual ? add_and_square(x + row, residual + row, width, h + row)
                                       : square(x + row, width);
    const T* in = has_residual ? h + row : x + row;
    rstd[i] = 1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + eps);
    for (std::int64_t j = 0; j < width; j += kLanes) {
      const std::int64_t count = width - j;
      store(y + row + j, load(in + j, count) * rstd[i] * load(weight + j, count), count);
    }
  });
}

template <typename T>
inline void backward_row(const T* h, const float* weight, float rstd, const T* dy, const T* dh_in,
                         std::int64_t width, T* dh, float* dweight) {
  F32 products = {};
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const std::int64_t count = width - j;
    const F32 hv = load(h + j, count), dyv = load(dy + j, count);
    products += hv * dyv * load(weight + j, count);
    store(dweight + j, load(dweight + j, count) + dyv * hv * rstd, count);
  }
  const float projection = sum(products) * rstd * rstd * rstd / static_cast<float>(width);
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const std::int64_t count = width - j;
    F32 g = load(dy + j, count) * load(weight + j, count) * rstd - load(h + j, count) * projection;
    if (dh_in != nullptr) g += load(dh_in + j, count);
    store(dh + j, g, count);
  }
}

template <typename T>
void rms_norm_backward(const T* h, const float* weight, const float* rstd, const T* dy,
                       const T* dh_in, std::int64_t n, std::int64_t width, T* dh, float* dweight,
                       bool accumulate) {
  static thread_local Scratch scratch;
  const std::int64_t block_rows = rows_per_block(n), blocks = ceil_div(n, block_rows);
  const std::int64_t stride = round_up(width, 16);
  float* partial = scratch.floats(blocks * stride);
  parallel_for(blocks, n * width, [&](std::int64_t block) {
    float* sums = partial + block * stride;
    for (std::int64_t j = 0; j < width; ++j) sums[j] = 0;
    for (std::int64_t i = block * block_rows; i < minimum(n, (block + 1) * block_rows); ++i) {
      const std::int64_t row = i * width;
      backward_row(h + row, weight, rstd[i], dy + row, dh_in == nullptr ? nullptr : dh_in + row,
                   width, dh + row, sums);
    }
  });
  add_partials(partial, blocks, stride, width, dweight, accumulate);
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.rms_norm_forward = rms_norm_forward<T>;
  kernels.rms_norm_backward = rms_norm_backward<T>;
}

}  // namespace

void fill_rms_norm(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
