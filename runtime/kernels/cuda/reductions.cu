// Sums over rows or over everything, each in one fixed order.
#include <algorithm>

#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

// At most 128 partial sums, whatever n.
constexpr std::int64_t rows_per_block(std::int64_t n) {
  const std::int64_t rows = ceil_div(n, 128);
  return rows < 32 ? 32 : rows;
}

std::int64_t row_blocks(std::int64_t n) {
  return ceil_div(n, rows_per_block(n));
}

// ---- columns

constexpr unsigned kColumns = 32, kColumnRows = 8, kPartialRows = 32;

// A block sums 32 columns over its rows; a thread takes every 8th row.
template <typename T>
__global__ void column_sum_kernel(const T* dy, std::int64_t n, std::int64_t width,
                                  std::int64_t block_rows, float* partial) {
  __shared__ float sums[kColumnRows][kColumns];
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * block_rows;
  const std::int64_t end = least(n, first + block_rows);
  float sum = 0.0f;
  if (column < width)
    for (std::int64_t i = first + threadIdx.y; i < end; i += kColumnRows)
      sum += to_float(dy[i * width + column]);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  for (unsigned y = 1; y < kColumnRows; ++y) sum += sums[y][threadIdx.x];
  partial[blockIdx.y * width + column] = sum;
}

// As above for one block of rows, which are the partial sums. A thread fetches several at once: in
// a launch this small nothing else hides how far memory is.
__global__ void combine_partials_kernel(const float* partial, std::int64_t blocks,
                                        std::int64_t stride, std::int64_t width, float* target,
                                        bool accumulate) {
  constexpr int kAtOnce = 8;
  __shared__ float sums[kPartialRows][kColumns];
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  float sum = 0.0f;
  for (std::int64_t first = threadIdx.y; first < blocks; first += kAtOnce * blockDim.y) {
    float terms[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int64_t i = first + k * blockDim.y;
      terms[k] = i < blocks && column < width ? partial[i * stride + column] : 0.0f;
    }
#pragma unroll
    for (const float term : terms) sum += term;
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  for (unsigned y = 1; y < blockDim.y; ++y) sum += sums[y][threadIdx.x];
  target[column] = accumulate ? target[column] + sum : sum;
}

void combine_partials(const float* partial, std::int64_t blocks, std::int64_t stride,
                      std::int64_t width, float* target, bool accumulate, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, kPartialRows));
  launch(combine_partials_kernel, dim3(static_cast<unsigned>(ceil_div(width, kColumns))),
         dim3(kColumns, rows), 0, stream, partial, blocks, stride, width, target, accumulate);
}

template <typename T>
void column_sum(const T* dy, std::int64_t n, std::int64_t width, float* partial, float* dbias,
                bool accumulate, cudaStream_t stream) {
  const std::int64_t blocks = row_blocks(n);
  launch(column_sum_kernel<T>,
         dim3(static_cast<unsigned>(ceil_div(width, kColumns)), static_cast<unsigned>(blocks)),
         dim3(kColumns, kColumnRows), 0, stream, dy, n, width, rows_per_block(n), partial);
  combine_partials(partial, blocks, width, width, dbias, accumulate, stream);
}

// ---- everything

template <typename T>
__global__ void sum_of_squares_kernel(const T* x, std::int64_t n, double* partial, bool aligned) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x * kPack;
  double sum = 0.0;
  for (std::int64_t i = global_thread() * kPack; i < n; i += stride) {
    const Pack v = load(x + i, n - i, aligned);
#pragma unroll
    for (int j = 0; j < kPack; ++j)
      sum += static_cast<double>(v.v[j]) * static_cast<double>(v.v[j]);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void combine_squares_kernel(const double* partial, std::int64_t blocks, double* result) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < blocks; i += blockDim.x) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *result = sum;
}

dim3 sum_grid(std::int64_t n, unsigned block) {
  const std::int64_t wanted = ceil_div(n, block * kPack);
  return dim3(static_cast<unsigned>(wanted < kSumBlocks ? wanted : kSumBlocks));
}

template <typename T>
void sum_of_squares(const T* x, std::int64_t n, double* partial, double* result,
                    cudaStream_t stream) {
  const dim3 grid = sum_grid(n, kBlock);
  launch(sum_of_squares_kernel<T>, grid, kBlock, 0, stream, x, n, partial, aligned16(x));
  launch(combine_squares_kernel, dim3(1), kBlock, 0, stream, partial, std::int64_t{grid.x}, result);
}

// x − x is 0 for finite x and NaN otherwise.
template <typename T>
__global__ void all_finite_kernel(const T* x, std::int64_t n, int* finite, bool aligned) {
  const std::int64_t i = global_thread() * kPack;
  if (i >= n) return;
  const Pack v = load(x + i, n - i, aligned);
  bool good = true;
#pragma unroll
  for (int j = 0; j < kPack; ++j) good = good && v.v[j] - v.v[j] == 0.0f;
  if (!good) atomicAnd(finite, 0);
}

template <typename T>
void all_finite(const T* x, std::int64_t n, int* finite, cudaStream_t stream) {
  launch(all_finite_kernel<T>, grid_for(ceil_div(n, kPack), kBlock), kBlock, 0, stream, x, n,
         finite, aligned16(x));
}

// One block: n is the number of tokens.
constexpr unsigned kDotBlock = 1024;

__global__ void add_dot_kernel(const float* a, const float* b, std::int64_t n, float* out) {
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < n; i += kDotBlock)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) *out = static_cast<float>(static_cast<double>(*out) + sum);
}

void add_dot(const float* a, const float* b, std::int64_t n, float* out, cudaStream_t stream) {
  launch(add_dot_kernel, dim3(1), kDotBlock, 0, stream, a, b, n, out);
}

template void column_sum(const float*, std::int64_t, std::int64_t, float*, float*, bool,
                         cudaStream_t);
template void column_sum(const Bf16*, std::int64_t, std::int64_t, float*, float*, bool,
                         cudaStream_t);
template void column_sum(const Fp16*, std::int64_t, std::int64_t, float*, float*, bool,
                         cudaStream_t);
template void sum_of_squares(const float*, std::int64_t, double*, double*, cudaStream_t);
template void sum_of_squares(const Bf16*, std::int64_t, double*, double*, cudaStream_t);
template void sum_of_squares(const Fp16*, std::int64_t, double*, double*, cudaStream_t);
template void all_finite(const float*, std::int64_t, int*, cudaStream_t);
template void all_finite(const Bf16*, std::int64_t, int*, cudaStream_t);
template void all_finite(const Fp16*, std::int64_t, int*, cudaStream_t);

}  // namespace tandem::runtime::cuda
