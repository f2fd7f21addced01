#include "runtime/autograd/ops/linear.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

const Shape& shape_of(const Leaf& weight) {
  return weight.quantized != nullptr ? weight.quantized->shape : weight.value.shape();
}

DType compute_type(const Leaf& weight) {
  return weight.quantized != nullptr ? weight.quantized->compute : weight.value.dtype();
}

}  // namespace

Tensor linear(const Tensor& x, Leaf& weight, Leaf* bias, DType out_dtype) {
  const Shape& shape = shape_of(weight);
  TANDEM_CHECK(x.shape().rank() == 2 && shape.rank() == 2 && x.dim(1) == shape[1],
               "linear of {} with a weight of {}", x.str(), shape.str());
  Tensor y = Tensor::empty({x.dim(0), shape[0]}, out_dtype, x.device());
  const Tensor bias_value = bias != nullptr ? bias->value : Tensor();
  if (weight.quantized != nullptr)
    backend_of(x).quantized_matmul(x, *weight.quantized, false, y, bias_value);
  else
    backend_of(x).matmul(x, false, weight.value, true, y, false, bias_value);
  if (!recording({&x}, {&weight, bias})) return y;
  Tape::current()->record(
      "linear", {&x}, {&y}, {&weight, bias},
      [x = saved_for_weight(x, weight), &weight, bias](BackwardContext& context) {
        const Tensor& dy = context.grad_output(0);
        if (context.needs_grad(0)) context.add_grad_input(0, linear_grad_input(dy, weight));
        linear_grad_weight(dy, x.get(), weight, bias);
      });
  return y;
}

Saved saved_for_weight(const Tensor& x, const Leaf& weight) {
  return weight.requires_grad ? Saved(x) : Saved();
}

Tensor linear_grad_input(const Tensor& dy, const Leaf& weight) {
  const DType dtype = compute_type(weight);
  Tensor dx = Tensor::empty({dy.dim(0), shape_of(weight)[1]}, dtype, dy.device());
  if (weight.quantized != nullptr)
    backend_of(dy).quantized_matmul(dy.to(dtype), *weight.quantized, true, dx);
  else
    backend_of(dy).matmul(dy.to(dtype), false, weight.value, false, dx);
  return dx;
}

void linear_grad_weight(const Tensor& dy, const Tensor& x, Leaf& weight, Leaf* bias) {
  if (bias != nullptr && bias->requires_grad && weight.requires_grad && dy.dtype() == x.dtype())
    return accumulate_into(weight, [&](Tensor& grad, bool accumulate) {
      accumulate_into(*bias, [&](Tensor& bias_grad, bool accumulate_bias) {
        backend_of(dy).linear_gradients(dy, x, grad, accumulate, bias_grad, accumulate_bias);
      });
    });
  accumulate_into(weight, [&](Tensor& grad, bool accumulate) {
    backend_of(dy).matmul(dy.to(x.dtype()), true, x, false, grad, accumulate);
  });
  if (bias == nullptr) return;
  accumulate_into(*bias, [&](Tensor& grad, bool accumulate) {
    backend_of(dy).column_sum(dy, grad, accumulate);
  });
}

}  // namespace tandem::runtime
