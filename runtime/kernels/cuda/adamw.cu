// Reads 4 and writes 3 or 4 arrays in one pass.
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

template <typename Grad, typename Compute>
__global__ void __launch_bounds__(kBlock)
    adamw_kernel(float* master, const Grad* grad, float* exp_avg, float* exp_avg_sq,
                 Compute* compute, std::int64_t n, AdamWTask task, bool aligned) {
  const std::int64_t i = global_thread() * kPack, count = n - i;
  if (count <= 0) return;
  const Pack g = load(grad + i, count, aligned);
  Pack p = load(master + i, count, aligned), m = load(exp_avg + i, count, aligned),
       v = load(exp_avg_sq + i, count, aligned);
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    const float scaled = g.v[j] * task.grad_scale;
    m.v[j] += (scaled - m.v[j]) * task.one_minus_beta1;
    v.v[j] = v.v[j] * task.beta2 + scaled * scaled * task.one_minus_beta2;
    const float denominator = sqrtf(v.v[j]) * task.inverse_sqrt_correct + task.eps;
    p.v[j] = p.v[j] * task.decay - m.v[j] * task.step_size / denominator;
  }
  store(exp_avg + i, m, count, aligned);
  store(exp_avg_sq + i, v, count, aligned);
  store(master + i, p, count, aligned);
  if (compute != nullptr) store(compute + i, p, count, aligned);
}

template <typename Grad, typename Compute>
void adamw(float* master, const Grad* grad, float* exp_avg, float* exp_avg_sq, Compute* compute,
           std::int64_t n, const AdamWTask& task, cudaStream_t stream) {
  launch(adamw_kernel<Grad, Compute>, grid_for(ceil_div(n, kPack), kBlock), kBlock, 0, stream,
         master, grad, exp_avg, exp_avg_sq, compute, n, task,
         aligned16(master, grad, exp_avg, exp_avg_sq, compute));
}

template void adamw(float*, const float*, float*, float*, float*, std::int64_t, const AdamWTask&,
                    cudaStream_t);
template void adamw(float*, const float*, float*, float*, Bf16*, std::int64_t, const AdamWTask&,
                    cudaStream_t);
template void adamw(float*, const float*, float*, float*, Fp16*, std::int64_t, const AdamWTask&,
                    cudaStream_t);
template void adamw(float*, const Bf16*, float*, float*, float*, std::int64_t, const AdamWTask&,
                    cudaStream_t);
template void adamw(float*, const Bf16*, float*, float*, Bf16*, std::int64_t, const AdamWTask&,
                    cudaStream_t);
template void adamw(float*, const Fp16*, float*, float*, float*, std::int64_t, const AdamWTask&,
                    cudaStream_t);
template void adamw(float*, const Fp16*, float*, float*, Fp16*, std::int64_t, const AdamWTask&,
                    cudaStream_t);

}  // namespace tandem::runtime::cuda
