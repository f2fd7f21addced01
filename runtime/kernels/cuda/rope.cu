#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

// (a, b) → (a·cos − b·sin, b·cos + a·sin) for eight columns of the halves a, b of one head.
template <typename T>
__global__ void rope_kernel(HeadRows<T> heads, std::int64_t n, const std::int32_t* positions,
                            std::int64_t max_position, const float* cos, const float* sin,
                            float sign, int* fault, bool aligned) {
  const std::int64_t half = heads.head_dim / 2, packs = (half + kPack - 1) / kPack;
  const std::int64_t thread = global_thread(), i = thread / (heads.heads * packs);
  if (i >= n) return;
  const std::int64_t position = positions[i];
  if (position < 0 || position >= max_position) {
    *fault = 1;
    return;
  }
  const std::int64_t head = thread / packs % heads.heads, j = thread % packs * kPack;
  const std::int64_t count = half - j, angle = position * half + j;
  T* lower = heads.data + i * heads.stride + head * heads.head_dim + j;
  const Pack a = load(lower, count, aligned), b = load(lower + half, count, aligned),
             c = load(cos + angle, count, aligned), s = load(sin + angle, count, aligned);
  Pack x, y;
#pragma unroll
  for (int k = 0; k < kPack; ++k) {
    x.v[k] = a.v[k] * c.v[k] - b.v[k] * s.v[k] * sign;
    y.v[k] = b.v[k] * c.v[k] + a.v[k] * s.v[k] * sign;
  }
  store(lower, x, count, aligned);
  store(lower + half, y, count, aligned);
}

template <typename T>
void rope(const HeadRows<T>& heads, std::int64_t n, const std::int32_t* positions,
          std::int64_t max_position, const float* cos, const float* sin, bool inverse, int* fault,
          cudaStream_t stream) {
  const std::int64_t half = heads.head_dim / 2;
  const bool aligned = aligned_rows(half, heads.data, cos, sin) && heads.stride % kPack == 0;
  launch(rope_kernel<T>, grid_for(n * heads.heads * ceil_div(half, kPack), kBlock), kBlock, 0,
         stream, heads, n, positions, max_position, cos, sin, inverse ? -1.0f : 1.0f, fault,
         aligned);
}

template void rope(const HeadRows<float>&, std::int64_t, const std::int32_t*, std::int64_t,
                   const float*, const float*, bool, int*, cudaStream_t);
template void rope(const HeadRows<Bf16>&, std::int64_t, const std::int32_t*, std::int64_t,
                   const float*, const float*, bool, int*, cudaStream_t);
template void rope(const HeadRows<Fp16>&, std::int64_t, const std::int32_t*, std::int64_t,
                   const float*, const float*, bool, int*, cudaStream_t);

}  // namespace tandem::runtime::cuda
