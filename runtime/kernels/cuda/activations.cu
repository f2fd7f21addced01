// Activations, alone and gated, forward and derivative side by side.
#include "runtime/kernels/cuda/element.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

__device__ inline float sigmoid(float x) {
  return 1.0f / (1.0f + expf(-x));
}

struct Silu {
  __device__ static float value(float x) { return x * sigmoid(x); }
  __device__ static float derivative(float x) {
    const float s = sigmoid(x);
    return s + x * s * (1.0f - s);
  }
};

struct GeluTanh {  // 0.5·(1 + tanh(z)) = sigmoid(2z), z = √(2/π)·(x + 0.044715·x³)
  __device__ static float value(float x) {
    return x * sigmoid(x * (1.5957691f + 0.071354814f * x * x));
  }
  __device__ static float derivative(float x) {
    const float s = sigmoid(x * (1.5957691f + 0.071354814f * x * x));
    return s + x * s * (1.0f - s) * (1.5957691f + 0.21406444f * x * x);
  }
};

struct GeluErf {
  // Φ(x) with its digits kept in the lower tail.
  __device__ static float cdf(float x) { return 0.5f * erfcf(-0.70710678f * x); }
  __device__ static float value(float x) { return x * cdf(x); }
  __device__ static float derivative(float x) {
    return cdf(x) + x * 0.39894228f * expf(-0.5f * x * x);
  }
};

struct Relu {
  __device__ static float value(float x) { return x > 0.0f ? x : 0.0f; }
  __device__ static float derivative(float x) { return x > 0.0f ? 1.0f : 0.0f; }
};

struct Tanh {  // the derivative from the output
  __device__ static float value(float x) { return tanhf(x); }
  __device__ static float derivative(float y) { return 1.0f - y * y; }
};

// ---- alone

template <typename Function, typename T>
__global__ void activation_forward_kernel(const T* x, std::int64_t n, T* y, bool aligned) {
  const std::int64_t i = global_thread() * kPack;
  if (i >= n) return;
  Pack v = load(x + i, n - i, aligned);
#pragma unroll
  for (int j = 0; j < kPack; ++j) v.v[j] = Function::value(v.v[j]);
  store(y + i, v, n - i, aligned);
}

template <typename Function, typename T>
__global__ void activation_backward_kernel(const T* x, std::int64_t n, const T* dy, T* dx,
                                           bool aligned) {
  const std::int64_t i = global_thread() * kPack;
  if (i >= n) return;
  const Pack v = load(x + i, n - i, aligned);
  Pack d = load(dy + i, n - i, aligned);
#pragma unroll
  for (int j = 0; j < kPack; ++j) d.v[j] *= Function::derivative(v.v[j]);
  store(dx + i, d, n - i, aligned);
}

// ---- gated

// A thread's eight columns of one row of the half as wide side.
struct HalfColumns {
  std::int64_t row, column, count;
  bool any;
};
__device__ inline HalfColumns half_columns(std::int64_t n, std::int64_t width) {
  const std::int64_t packs = (width + kPack - 1) / kPack, i = global_thread();
  const std::int64_t row = i / packs, column = i % packs * kPack;
  return {row, column, width - column, row < n};
}

template <typename Function, typename T>
__global__ void gated_forward_kernel(const T* gate_up, std::int64_t n, std::int64_t width, T* out,
                                     bool aligned) {
  const HalfColumns at = half_columns(n, width);
  if (!at.any) return;
  const T* gate = gate_up + at.row * 2 * width + at.column;
  const Pack g = load(gate, at.count, aligned), u = load(gate + width, at.count, aligned);
  Pack y;
#pragma unroll
  for (int j = 0; j < kPack; ++j) y.v[j] = Function::value(g.v[j]) * u.v[j];
  store(out + at.row * width + at.column, y, at.count, aligned);
}

template <typename Function, typename T>
__global__ void gated_backward_kernel(const T* gate_up, const T* dy, std::int64_t n,
                                      std::int64_t width, T* dgate_up, bool aligned) {
  const HalfColumns at = half_columns(n, width);
  if (!at.any) return;
  const std::int64_t gate = at.row * 2 * width + at.column;
  const Pack g = load(gate_up + gate, at.count, aligned),
             u = load(gate_up + gate + width, at.count, aligned),
             d = load(dy + at.row * width + at.column, at.count, aligned);
  Pack dg, du;
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    dg.v[j] = d.v[j] * u.v[j] * Function::derivative(g.v[j]);
    du.v[j] = d.v[j] * Function::value(g.v[j]);
  }
  store(dgate_up + gate, dg, at.count, aligned);
  store(dgate_up + gate + width, du, at.count, aligned);
}

// ---- host: body(Function{})

template <typename Body>
void by_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kSilu:
      return body(Silu{});
    case Activation::kGeluTanh:
      return body(GeluTanh{});
    case Activation::kGeluErf:
      return body(GeluErf{});
    case Activation::kRelu:
      return body(Relu{});
    case Activation::kTanh:
      return body(Tanh{});
  }
}

template <typename T>
void activation_forward(Activation activation, const T* x, std::int64_t n, T* y,
                        cudaStream_t stream) {
  by_activation(activation, [&](auto function) {
    launch(activation_forward_kernel<decltype(function), T>, grid_for(ceil_div(n, kPack), kBlock),
           kBlock, 0, stream, x, n, y, aligned16(x, y));
  });
}

template <typename T>
void activation_backward(Activation activation, const T* x, std::int64_t n, const T* dy, T* dx,
                         cudaStream_t stream) {
  by_activation(activation, [&](auto function) {
    launch(activation_backward_kernel<decltype(function), T>, grid_for(ceil_div(n, kPack), kBlock),
           kBlock, 0, stream, x, n, dy, dx, aligned16(x, dy, dx));
  });
}

template <typename T>
void gated_forward(Activation activation, const T* gate_up, std::int64_t n, std::int64_t width,
                   T* out, cudaStream_t stream) {
  by_activation(activation, [&](auto function) {
    launch(gated_forward_kernel<decltype(function), T>,
           grid_for(n * ceil_div(width, kPack), kBlock), kBlock, 0, stream, gate_up, n, width, out,
           aligned_rows(width, gate_up, out));
  });
}

template <typename T>
void gated_backward(Activation activation, const T* gate_up, const T* dy, std::int64_t n,
                    std::int64_t width, T* dgate_up, cudaStream_t stream) {
  by_activation(activation, [&](auto function) {
    launch(gated_backward_kernel<decltype(function), T>,
           grid_for(n * ceil_div(width, kPack), kBlock), kBlock, 0, stream, gate_up, dy, n, width,
           dgate_up, aligned_rows(width, gate_up, dy, dgate_up));
  });
}

template void activation_forward(Activation, const float*, std::int64_t, float*, cudaStream_t);
template void activation_forward(Activation, const Bf16*, std::int64_t, Bf16*, cudaStream_t);
template void activation_forward(Activation, const Fp16*, std::int64_t, Fp16*, cudaStream_t);
template void activation_backward(Activation, const float*, std::int64_t, const float*, float*,
                                  cudaStream_t);
template void activation_backward(Activation, const Bf16*, std::int64_t, const Bf16*, Bf16*,
                                  cudaStream_t);
template void activation_backward(Activation, const Fp16*, std::int64_t, const Fp16*, Fp16*,
                                  cudaStream_t);
template void gated_forward(Activation, const float*, std::int64_t, std::int64_t, float*,
                            cudaStream_t);
template void gated_forward(Activation, const Bf16*, std::int64_t, std::int64_t, Bf16*,
                            cudaStream_t);
template void gated_forward(Activation, const Fp16*, std::int64_t, std::int64_t, Fp16*,
                            cudaStream_t);
template void gated_backward(Activation, const float*, const float*, std::int64_t, std::int64_t,
                             float*, cudaStream_t);
template void gated_backward(Activation, const Bf16*, const Bf16*, std::int64_t, std::int64_t,
                             Bf16*, cudaStream_t);
template void gated_backward(Activation, const Fp16*, const Fp16*, std::int64_t, std::int64_t,
                             Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
