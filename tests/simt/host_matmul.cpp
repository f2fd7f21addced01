// The CPU's products in place of cuBLASLt: the emulated device's memory is the host's.
#include <cmath>
#include <numbers>

#include "runtime/base/float16.h"
#include "runtime/kernels/cpu/matmul.h"
#include "runtime/kernels/cuda/matmul.h"
#include "runtime/kernels/typed.h"
#include "tests/simt/emulator.h"

namespace tandem::runtime::cuda {

namespace {

// 0.5·x·(1 + tanh(u)), u = √(2/π)·(x + 0.044715·x³).
double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

// Of 0.5·x·(1 + tanh(u)), u = √(2/π)·(x + 0.044715·x³). (Hendrycks & Gimpel 2016)
double gelu_derivative(double x) {
  const double factor = std::sqrt(2 / std::numbers::pi);
  const double t = std::tanh(factor * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * factor * (1 + 3 * 0.044715 * x * x);
}

}  // namespace

struct Matmul::State {};
Matmul::Matmul(int) {}
Matmul::~Matmul() = default;

void Matmul::run(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
                 bool accumulate, const Tensor& bias, cudaStream_t stream) {
  simt::enqueue(
      [=]() mutable { cpu::matmul(a, transpose_a, b, transpose_b, out, accumulate, bias); },
      stream);
}

// A card without tensor cores for 8 bits.
bool Matmul::run_fp8(const Fp8Rows&, const Fp8Rows&, Tensor&, bool, const Tensor&, cudaStream_t) {
  return false;
}

// Not for every size, as cuBLASLt.
bool Matmul::run_with_bias_gradient(const Tensor& dy, const Tensor& x, Tensor& dweight,
                                    bool accumulate, float* dbias, cudaStream_t stream) {
  if (dy.dim(1) % 2 != 0) return false;
  run(dy, true, x, false, dweight, accumulate, {}, stream);
  const auto sum_up = [=] {
    by_type_with<BFloat16, Float16>(dy.dtype(), [&](auto t) {
      const auto* values = static_cast<const decltype(t)*>(dy.raw());
      const std::int64_t width = dy.dim(1);
      for (std::int64_t j = 0; j < width; ++j) {
        double sum = 0;
        for (std::int64_t i = 0; i < dy.dim(0); ++i)
          sum += static_cast<float>(values[i * width + j]);
        dbias[j] = static_cast<float>(sum);
      }
    });
  };
  simt::enqueue(sum_up, stream);
  return true;
}

// Not for every size, as cuBLASLt. Both are rounded from the same sums.
bool Matmul::run_with_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           Tensor& product, Tensor& y, cudaStream_t stream) {
  if (y.dim(1) % 8 != 0) return false;
  const auto work = [=]() mutable {
    Tensor sums = Tensor::empty(y.shape(), DType::kF32);
    cpu::matmul(x, false, weight, true, sums, false, bias);
    by_type_with<BFloat16, Float16>(y.dtype(), [&](auto t) {
      using T = decltype(t);
      for (std::int64_t i = 0; i < y.elements(); ++i) {
        const float sum = sums.data<float>()[i];
        static_cast<T*>(product.raw())[i] = T(sum);
        static_cast<T*>(y.raw())[i] = T(static_cast<float>(gelu(sum)));
      }
    });
  };
  simt::enqueue(work, stream);
  return true;
}

// Not for every size, as cuBLASLt. One rounding, at the end.
bool Matmul::run_with_gelu_gradient(const Tensor& dy, const Tensor& weight, const Tensor& x,
                                    Tensor& dx, cudaStream_t stream) {
  if (dx.dim(1) % 8 != 0) return false;
  const auto work = [=]() mutable {
    Tensor product = Tensor::empty(dx.shape(), DType::kF32);
    cpu::matmul(dy, false, weight, false, product, false, {});
    by_type_with<BFloat16, Float16>(dx.dtype(), [&](auto t) {
      using T = decltype(t);
      const auto* at = static_cast<const T*>(x.raw());
      auto* out = static_cast<T*>(dx.raw());
      for (std::int64_t i = 0; i < dx.elements(); ++i)
        out[i] = T(static_cast<float>(product.data<float>()[i] * gelu_derivative(float(at[i]))));
    });
  };
  simt::enqueue(work, stream);
  return true;
}

void Matmul::allow_tf32(bool) {}

}  // namespace tandem::runtime::cuda
