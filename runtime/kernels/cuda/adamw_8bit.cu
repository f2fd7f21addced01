// AdamW with moments in 8 bits: a block of threads for each block of numbers that share a largest
// magnitude.
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kNeighbours = 256;  // as kMomentBlock in backend.h
constexpr unsigned kBounds = 255;      // as in dynamic_map.h

__device__ inline float decoded(const DeviceMoment& moment, std::int64_t i) {
  return moment.values[moment.codes[i]] * moment.maxima[blockIdx.x];
}

// The least i with x <= bounds[i].
__device__ inline unsigned char nearest_code(const float* bounds, float x) {
  int low = 0, high = 255;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (x <= bounds[middle])
      high = middle;
    else
      low = middle + 1;
  }
  return static_cast<unsigned char>(low);
}

// All threads of the block; those beyond the end bring 0.
__device__ inline float block_maximum(float value, float* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  for (unsigned half = kNeighbours / 2; half > 0; half /= 2) {
    if (threadIdx.x < half)
      shared[threadIdx.x] = greatest(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  const float maximum = shared[0];
  __syncthreads();
  return maximum;
}

// The search reads bounds here and there, each when it has seen the one before: `bounds` is a copy
// in shared memory.
__device__ inline void encode(const DeviceMoment& moment, std::int64_t i, bool inside, float value,
                              const float* bounds, float* shared) {
  const float maximum = block_maximum(inside ? fabsf(value) : 0.0f, shared);
  if (inside) moment.codes[i] = nearest_code(bounds, value * (1.0f / greatest(maximum, 1e-38f)));
  if (threadIdx.x == 0) moment.maxima[blockIdx.x] = maximum;
}

template <typename Grad, typename Compute>
__global__ void __launch_bounds__(kNeighbours)
    adamw_8bit_kernel(float* master, const Grad* grad, DeviceMoment exp_avg,
                      DeviceMoment exp_avg_sq, Compute* compute, std::int64_t n, AdamWTask task) {
  __shared__ float shared[kNeighbours], bounds[kBounds], bounds_sq[kBounds];
  if (threadIdx.x < kBounds) {
    bounds[threadIdx.x] = exp_avg.bounds[threadIdx.x];
    bounds_sq[threadIdx.x] = exp_avg_sq.bounds[threadIdx.x];
  }
  const std::int64_t i = global_thread();
  const bool inside = i < n;
  float m = 0, v = 0;
  if (inside) {
    const float g = to_float(grad[i]) * task.grad_scale;
    m = decoded(exp_avg, i);
    m += (g - m) * task.one_minus_beta1;
    v = decoded(exp_avg_sq, i) * task.beta2 + g * g * task.one_minus_beta2;
    const float denominator = sqrtf(v) * task.inverse_sqrt_correct + task.eps;
    const float p = master[i] * task.decay - m * task.step_size / denominator;
    master[i] = p;
    if (compute != nullptr) assign(compute[i], p);
  }
  __syncthreads();
  encode(exp_avg, i, inside, m, bounds, shared);
  encode(exp_avg_sq, i, inside, v, bounds_sq, shared);
}

template <typename Grad, typename Compute>
void adamw_8bit(float* master, const Grad* grad, const DeviceMoment& exp_avg,
                const DeviceMoment& exp_avg_sq, Compute* compute, std::int64_t n,
                const AdamWTask& task, cudaStream_t stream) {
  launch(adamw_8bit_kernel<Grad, Compute>, grid_for(n, kNeighbours), kNeighbours, 0, stream, master,
         grad, exp_avg, exp_avg_sq, compute, n, task);
}

template void adamw_8bit(float*, const float*, const DeviceMoment&, const DeviceMoment&, float*,
                         std::int64_t, const AdamWTask&, cudaStream_t);
template void adamw_8bit(float*, const float*, const DeviceMoment&, const DeviceMoment&, Bf16*,
                         std::int64_t, const AdamWTask&, cudaStream_t);
template void adamw_8bit(float*, const float*, const DeviceMoment&, const DeviceMoment&, Fp16*,
                         std::int64_t, const AdamWTask&, cudaStream_t);
template void adamw_8bit(float*, const Bf16*, const DeviceMoment&, const DeviceMoment&, float*,
                         std::int64_t, const AdamWTask&, cudaStream_t);
template void adamw_8bit(float*, const Bf16*, const DeviceMoment&, const DeviceMoment&, Bf16*,
                         std::int64_t, const AdamWTask&, cudaStream_t);
template void adamw_8bit(float*, const Fp16*, const DeviceMoment&, const DeviceMoment&, float*,
                         std::int64_t, const AdamWTask&, cudaStream_t);
template void adamw_8bit(float*, const Fp16*, const DeviceMoment&, const DeviceMoment&, Fp16*,
                         std::int64_t, const AdamWTask&, cudaStream_t);

}  // namespace tandem::runtime::cuda
