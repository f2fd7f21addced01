// What the two normalisations share: a block per row forward; backward a block for several rows,
// whose parameter gradients it adds up in shared memory where they fit.
#pragma once

#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kNormBlock = 512;

// h = x + residual as stored; returns x's pack when there is no residual.
template <typename T>
__device__ inline Pack add_residual(const T* x, const T* residual, T* h, std::int64_t count,
                                    bool aligned) {
  Pack v = load(x, count, aligned);
  if (residual == nullptr) return v;
  const Pack r = load(residual, count, aligned);
#pragma unroll
  for (int j = 0; j < kPack; ++j) v.v[j] = rounded<T>(v.v[j] + r.v[j]);
  store(h, v, count, aligned);
  return v;
}

// Rows of one block of the backward kernels and where it adds up.
struct NormRows {
  std::int64_t begin, end;
  float* sums;  // [length]
  bool shared;

  __device__ NormRows(std::int64_t n, std::int64_t blocks_of, float* partial, std::int64_t length,
                      bool in_shared)
      : begin(static_cast<std::int64_t>(blockIdx.x) * blocks_of),
        end(least(n, begin + blocks_of)),
        sums(in_shared ? dynamic_shared<float>() : partial + blockIdx.x * length),
        shared(in_shared) {
    for (std::int64_t j = threadIdx.x; j < length; j += blockDim.x) sums[j] = 0.0f;
    __syncthreads();
  }
  __device__ void finish(float* partial, std::int64_t length) const {
    __syncthreads();
    if (!shared) return;
    for (std::int64_t j = threadIdx.x; j < length; j += blockDim.x)
      partial[blockIdx.x * length + j] = sums[j];
  }
};

struct NormBackwardLaunch {
  dim3 grid;
  unsigned block;
  std::int64_t rows_per_block;
  std::size_t shared;
};
inline NormBackwardLaunch norm_backward_launch(std::int64_t n, std::int64_t width,
                                               std::int64_t length) {
  const std::int64_t blocks = row_blocks(n);
  const auto bytes = static_cast<std::size_t>(length) * sizeof(float);
  // block_reduce has a little static shared memory beside it.
  return {dim3(static_cast<unsigned>(blocks)), threads_for(width, kPack, kNormBlock),
          blocks == 0 ? 0 : ceil_div(n, blocks), bytes + 1024 <= kPlainSharedBytes ? bytes : 0};
}

}  // namespace tandem::runtime::cuda
