// Products with quantized matrices. A block computes a tile of kTile x kTile results; codes become
// numbers on their way into shared memory, so that the matrix is read in its 4 or 8 bits and never
// exists as numbers.
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr int kTile = 64;
constexpr int kDepth = 16;
constexpr int kEach = 4;              // results of a thread, in both directions
constexpr int kSide = kTile / kEach;  // threads of a block, in both directions
constexpr unsigned kThreads = kSide * kSide;
constexpr int kNf4Neighbours = 64, kNf4Scales = 256;  // as in quantized_matrix.h

__device__ inline float int8_value(const QuantizedRows& w, std::int64_t row, std::int64_t column) {
  const auto code = static_cast<const signed char*>(w.codes)[row * w.columns + column];
  return static_cast<float>(code) * static_cast<const float*>(w.scales)[row];
}

__device__ inline float nf4_value(const QuantizedRows& w, std::int64_t row, std::int64_t column) {
  const std::int64_t index = row * w.columns + column;
  const unsigned pair = static_cast<const unsigned char*>(w.codes)[index / 2];
  const unsigned scale = static_cast<const unsigned char*>(w.scales)[index / kNf4Neighbours];
  const float* group = w.groups + (w.first_block[row] + column / kNf4Neighbours) / kNf4Scales * 2;
  return w.values[index % 2 == 0 ? pair >> 4 : pair & 15u] * (w.map[scale] * group[0] + group[1]);
}

__device__ inline float value_of(const QuantizedRows& w, std::int64_t row, std::int64_t column) {
  return w.nf4 ? nf4_value(w, row, column) : int8_value(w, row, column);
}

// out[m, n] = a[m, k] · b[k, n] (+ bias), with b the weight, or else the weight transposed.
template <typename T>
__global__ void quantized_matmul_kernel(const T* a, QuantizedRows w, bool transposed,
                                        const float* bias, std::int64_t m, std::int64_t n,
                                        std::int64_t k, T* out) {
  __shared__ float a_tile[kDepth][kTile + 1];
  __shared__ float b_tile[kDepth][kTile + 1];
  const int thread = static_cast<int>(threadIdx.x), x = thread % kSide, y = thread / kSide;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * kTile,
                     first_column = static_cast<std::int64_t>(blockIdx.x) * kTile;
  float sums[kEach][kEach] = {};
  for (std::int64_t depth = 0; depth < k; depth += kDepth) {
    for (int i = thread; i < kTile * kDepth; i += static_cast<int>(kThreads)) {
      // Neighbouring threads read neighbours in memory.
      const int along = i % kDepth, across = i / kDepth;
      const std::int64_t row = first_row + across, at = depth + along;
      a_tile[along][across] = row < m && at < k ? to_float(a[row * k + at]) : 0.0f;
      const int b_along = transposed ? i / kTile : along,
                b_across = transposed ? i % kTile : across;
      const std::int64_t column = first_column + b_across, b_at = depth + b_along;
      float value = 0.0f;
      if (column < n && b_at < k)
        value = transposed ? value_of(w, b_at, column) : value_of(w, column, b_at);
      b_tile[b_along][b_across] = rounded<T>(value);
    }
    __syncthreads();
    for (int d = 0; d < kDepth; ++d)
#pragma unroll
      for (int r = 0; r < kEach; ++r)
#pragma unroll
        for (int c = 0; c < kEach; ++c)
          sums[r][c] += a_tile[d][y * kEach + r] * b_tile[d][x + c * kSide];
    __syncthreads();
  }
  for (int r = 0; r < kEach; ++r)
    for (int c = 0; c < kEach; ++c) {
      const std::int64_t row = first_row + y * kEach + r, column = first_column + x + c * kSide;
      if (row < m && column < n)
        assign(out[row * n + column], sums[r][c] + (bias != nullptr ? bias[column] : 0.0f));
    }
}

template <typename T>
void quantized_matmul(const T* a, const QuantizedRows& weight, bool transposed, const float* bias,
                      std::int64_t m, T* out, cudaStream_t stream) {
  const std::int64_t n = transposed ? weight.columns : weight.rows,
                     k = transposed ? weight.rows : weight.columns;
  const dim3 grid(static_cast<unsigned>(ceil_div(n, kTile)),
                  static_cast<unsigned>(ceil_div(m, kTile)));
  launch(quantized_matmul_kernel<T>, grid, kThreads, 0, stream, a, weight, transposed, bias, m, n,
         k, out);
}

template void quantized_matmul(const float*, const QuantizedRows&, bool, const float*, std::int64_t,
                               float*, cudaStream_t);
template void quantized_matmul(const Bf16*, const QuantizedRows&, bool, const float*, std::int64_t,
                               Bf16*, cudaStream_t);
template void quantized_matmul(const Fp16*, const QuantizedRows&, bool, const float*, std::int64_t,
                               Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
