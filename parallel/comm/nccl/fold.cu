// Memory-bound: every part is read once, the result written once.
#include "parallel/comm/nccl/fold.h"
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::parallel {

using runtime::cuda::Bf16;
using runtime::cuda::Fp16;

namespace {

constexpr unsigned kBlock = 256;

struct Sum {
  template <typename T>
  __device__ static T apply(T a, T b) {
    return a + b;
  }
};
// Not-a-numbers survive.
struct Max {
  template <typename T>
  __device__ static T apply(T a, T b) {
    return b > a || b != b ? b : a;
  }
};
struct Min {
  template <typename T>
  __device__ static T apply(T a, T b) {
    return b < a || b != b ? b : a;
  }
};

template <typename T>
__device__ T widened(T x) {
  return x;
}
__device__ inline float widened(Bf16 x) {
  return runtime::cuda::to_float(x);
}
__device__ inline float widened(Fp16 x) {
  return runtime::cuda::to_float(x);
}
template <typename T>
__device__ void narrow(T& to, T x) {
  to = x;
}
__device__ inline void narrow(Bf16& to, float x) {
  runtime::cuda::assign(to, x);
}
__device__ inline void narrow(Fp16& to, float x) {
  runtime::cuda::assign(to, x);
}

template <typename Op, typename T>
__global__ void fold_kernel(const T* parts, int ranks, int own_rank, const T* own, T* out,
                            std::int64_t n) {
  const std::int64_t i = runtime::cuda::global_thread();
  if (i >= n) return;
  auto total = widened(own_rank == 0 ? own[i] : parts[i]);
  for (int r = 1; r < ranks; ++r)
    total = Op::apply(total, widened(r == own_rank ? own[i] : parts[r * n + i]));
  narrow(out[i], total);
}

}  // namespace

template <typename T>
void fold_parts(FoldOp op, const T* parts, int ranks, int own_rank, const T* own, T* out,
                std::int64_t elements, cudaStream_t stream) {
  const auto run = [&](auto kernel) {
    runtime::cuda::launch(kernel, runtime::cuda::grid_for(elements, kBlock), kBlock, 0, stream,
                          parts, ranks, own_rank, own, out, elements);
  };
  switch (op) {
    case FoldOp::kSum:
      return run(fold_kernel<Sum, T>);
    case FoldOp::kMax:
      return run(fold_kernel<Max, T>);
    case FoldOp::kMin:
      return run(fold_kernel<Min, T>);
  }
}

template void fold_parts(FoldOp, const float*, int, int, const float*, float*, std::int64_t,
                         cudaStream_t);
template void fold_parts(FoldOp, const Bf16*, int, int, const Bf16*, Bf16*, std::int64_t,
                         cudaStream_t);
template void fold_parts(FoldOp, const Fp16*, int, int, const Fp16*, Fp16*, std::int64_t,
                         cudaStream_t);
template void fold_parts(FoldOp, const double*, int, int, const double*, double*, std::int64_t,
                         cudaStream_t);
template void fold_parts(FoldOp, const std::int32_t*, int, int, const std::int32_t*, std::int32_t*,
                         std::int64_t, cudaStream_t);
template void fold_parts(FoldOp, const std::int64_t*, int, int, const std::int64_t*, std::int64_t*,
                         std::int64_t, cudaStream_t);

}  // namespace tandem::parallel
