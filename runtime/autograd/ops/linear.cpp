#include "runtime/autograd/ops/linear.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

Tensor linear(const Tensor& x, Leaf& weight, Leaf* bias, DType out_dtype) {
  TANDEM_CHECK(
      x.shape().rank() == 2 && weight.value.shape().rank() == 2 && x.dim(1) == weight.value.dim(1),
      "linear of {} with weight {}", x.str(), weight.value.str());
  Tensor y = Tensor::empty({x.dim(0), weight.value.dim(0)}, out_dtype, x.device());
  backend_of(x).matmul(x, false, weight.value, true, y, false,
                       bias != nullptr ? bias->value : Tensor());
  if (!recording({&x}, {&weight, bias})) return y;
  Tape::current()->record("linear", {&x}, {&y}, {&weight, bias},
                          [x, &weight, bias](BackwardContext& context) {
                            const Tensor& dy = context.grad_output(0);
                            if (context.needs_grad(0))
                              context.add_grad_input(0, linear_grad_input(dy, weight));
                            linear_grad_weight(dy, x, weight, bias);
                          });
  return y;
}

Tensor linear_grad_input(const Tensor& dy, const Leaf& weight) {
  Tensor dx = Tensor::empty({dy.dim(0), weight.value.dim(1)}, weight.value.dtype(), dy.device());
  backend_of(dy).matmul(dy.to(weight.value.dtype()), false, weight.value, false, dx);
  return dx;
}

void linear_grad_weight(const Tensor& dy, const Tensor& x, Leaf& weight, Leaf* bias) {
  accumulate_into(weight, [&](Tensor& grad, bool accumulate) {
    backend_of(dy).matmul(dy.to(x.dtype()), true, x, false, grad, accumulate);
  });
  if (bias == nullptr) return;
  accumulate_into(*bias, [&](Tensor& grad, bool accumulate) {
    backend_of(dy).column_sum(dy, grad, accumulate);
  });
}

}  // namespace tandem::runtime
