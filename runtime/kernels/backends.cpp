#include "runtime/kernels/backends.h"

#include <cstdlib>

namespace tandem::runtime {

Backend& backend_of(Device device) {
  switch (device.type) {
    case DeviceType::kCPU:
      return cpu_backend();
    case DeviceType::kMeta:
      return meta_backend();
    case DeviceType::kCUDA:
      return cuda_backend(device.index);
  }
  TANDEM_CHECK(false, "backend_of: device type {}", static_cast<int>(device.type));
  std::abort();
}

void Backend::few_rows_matmul(const Tensor& x, const Tensor& weight, Tensor& out,
                              const Tensor& bias) {
  matmul(x, false, weight, true, out, false, bias);
}

void Backend::row_max_and_sums(const Tensor& logits, const Tensor& targets,
                               std::int64_t first_column, Tensor& maximum, Tensor& sums) {
  row_max(logits, maximum);
  softmax_sums(logits, maximum, targets, first_column, sums);
}

void Backend::linear_gradients(const Tensor& dy, const Tensor& x, Tensor& dweight,
                               bool accumulate_weight, Tensor& dbias, bool accumulate_bias) {
  matmul(dy, true, x, false, dweight, accumulate_weight);
  column_sum(dy, dbias, accumulate_bias);
}

void Backend::product_and_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias, bool tanh,
                               Tensor& product, Tensor& y) {
  matmul(x, false, weight, true, product, false, bias);
  gelu_forward(product, tanh, y);
}

void Backend::gelu_backward_of_product(const Tensor& dy, const Tensor& weight, const Tensor& x,
                                       bool tanh, Tensor& dx) {
  matmul(dy, false, weight, false, dx);
  gelu_backward(x, tanh, dx, dx);
}

}  // namespace tandem::runtime
