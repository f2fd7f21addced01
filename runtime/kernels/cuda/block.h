// Sums and maxima over the threads of a block, in one fixed order: equal inputs give equal bits.
// One-dimensional blocks of whole warps; all threads call, all get the result.
#pragma once

#include <cuda_runtime.h>

#include "runtime/kernels/cuda/element.h"

namespace tandem::runtime::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr float kInfinity = __builtin_huge_valf();

// Memory that a launch asks for, one array per block.
extern __shared__ uint4 block_memory[];
template <typename T>
__device__ inline T* dynamic_shared() {
  return reinterpret_cast<T*>(block_memory);
}

struct Sum {
  template <typename T>
  __device__ static T of(T a, T b) {
    return a + b;
  }
};
// NaN is passed over, as on the CPU.
struct Maximum {
  __device__ static float of(float a, float b) { return b > a ? b : a; }
};

// Over `kLanes` neighbouring lanes (a power of 2).
template <typename Operation, int kLanes = 32, typename T>
__device__ inline T warp_reduce(T value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    value = Operation::of(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// `identity`: what leaves the other operand as it is. May be called again and again.
template <typename Operation, typename T>
__device__ inline T block_reduce(T value, T identity) {
  __shared__ T partial[32];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  value = warp_reduce<Operation>(value);
  if (warps == 1) return value;
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = warp_reduce<Operation>(lane < warps ? partial[lane] : identity);
  __syncthreads();
  return value;
}

__device__ inline float block_sum(float value) {
  return block_reduce<Sum>(value, 0.0f);
}
__device__ inline double block_sum(double value) {
  return block_reduce<Sum>(value, 0.0);
}
__device__ inline float block_maximum(float value) {
  return block_reduce<Maximum>(value, -kInfinity);
}

}  // namespace tandem::runtime::cuda
