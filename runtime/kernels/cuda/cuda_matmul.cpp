// The products of CudaBackend, and the sums over tokens that go with them.
#include "runtime/kernels/cuda/cuda_backend.h"
#include "runtime/kernels/cuda/typed.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime::cuda {

void CudaBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                         Tensor& out, bool accumulate, const Tensor& bias) {
  check_matmul(a, transpose_a, b, transpose_b, out, bias);
  if (out.elements() == 0) return;
  const Call call(context_, "matmul", {&a, &b, &out});
  context_.matmul().run(a, transpose_a, b, transpose_b, out, accumulate, bias, context_.stream());
}

void CudaBackend::column_sum(const Tensor& dy, Tensor& dbias, bool accumulate) {
  check_column_sum(dy, dbias);
  const Call call(context_, "column_sum", {&dy});
  const std::int64_t n = rows_of(dy), width = width_of(dy);
  auto* partial = context_.scratch<float>(row_blocks(n) * width);
  by_type(dy.dtype(), [&](auto t) {
    cuda::column_sum(pointer<decltype(t)>(dy), n, width, partial, pointer<float>(dbias), accumulate,
                     context_.stream());
  });
}

// The product's epilogue overwrites: what is to be added to goes by way of scratch memory.
void CudaBackend::linear_gradients(const Tensor& dy, const Tensor& x, Tensor& dweight,
                                   bool accumulate_weight, Tensor& dbias, bool accumulate_bias) {
  check_matmul(dy, true, x, false, dweight, {});
  check_column_sum(dy, dbias);
  const Call call(context_, "linear_gradients", {&dy, &x, &dweight});
  const std::int64_t width = width_of(dy);
  float* sums = accumulate_bias ? context_.scratch<float>(width) : pointer<float>(dbias);
  if (dy.elements() == 0 || dweight.elements() == 0 || dweight.dtype() != DType::kF32 ||
      !context_.matmul().run_with_bias_gradient(dy, x, dweight, accumulate_weight, sums,
                                                context_.stream()))
    return Backend::linear_gradients(dy, x, dweight, accumulate_weight, dbias, accumulate_bias);
  if (accumulate_bias)
    combine_partials(sums, 1, width, width, pointer<float>(dbias), true, context_.stream());
}

void CudaBackend::product_and_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                   bool tanh, Tensor& product, Tensor& y) {
  check_matmul(x, false, weight, true, product, bias);
  check_same(product, {&y});
  const Call call(context_, "product_and_gelu", {&x, &weight, &product});
  if (!gelu_fusion_ || !tanh || y.dtype() == DType::kF32 || x.dtype() != y.dtype() ||
      x.elements() == 0 || y.elements() == 0 ||
      !context_.matmul().run_with_gelu(x, weight, bias, product, y, context_.stream()))
    Backend::product_and_gelu(x, weight, bias, tanh, product, y);
}

// The product's epilogue differentiates the tanh form alone. Where fp32 is asked for, our kernel
// does it, whose tanh is as exact as fp32 is.
void CudaBackend::gelu_backward_of_product(const Tensor& dy, const Tensor& weight, const Tensor& x,
                                           bool tanh, Tensor& dx) {
  check_matmul(dy, false, weight, false, dx, {});
  check_same(x, {&dx});
  const Call call(context_, "gelu_backward_of_product", {&dy, &weight, &dx});
  if (!tanh || dx.dtype() == DType::kF32 || dy.dtype() != dx.dtype() || dy.elements() == 0 ||
      dx.elements() == 0 ||
      !context_.matmul().run_with_gelu_gradient(dy, weight, x, dx, context_.stream()))
    Backend::gelu_backward_of_product(dy, weight, x, tanh, dx);
}

void CudaBackend::set_options(const DeviceOptions& options) {
  const Call call(context_, "set_options", {});
  context_.matmul().allow_tf32(options.tf32);
  graphs_ = options.graphs;
  gelu_fusion_ = options.gelu_fusion;
}

}  // namespace tandem::runtime::cuda
