#include "runtime/autograd/ops/elementwise.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

Tensor add(const Tensor& a, const Tensor& b) {
  TANDEM_CHECK(a.shape() == b.shape(), "add of {} and {}", a.str(), b.str());
  Tensor sum = empty_like(a);
  backend_of(a).add(a, b, sum);
  if (!recording({&a, &b})) return sum;
  Tape::current()->record("add", {&a, &b}, {&sum}, {}, [](BackwardContext& context) {
    context.add_grad_input(0, context.grad_output(0));
    context.add_grad_input(1, context.grad_output(0));
  });
  return sum;
}

Tensor scale(const Tensor& x, float factor) {
  Tensor y = x.clone();
  backend_of(x).scale(y, factor);
  if (!recording({&x})) return y;
  Tape::current()->record("scale", {&x}, {&y}, {}, [factor](BackwardContext& context) {
    Tensor dx = context.grad_output(0).clone();
    backend_of(dx).scale(dx, factor);
    context.add_grad_input(0, dx);
  });
  return y;
}

Tensor embedding(const Tensor& tokens, Leaf& weight, std::int64_t first_row) {
  TANDEM_CHECK(tokens.dtype() == DType::kI32 && weight.value.shape().rank() == 2,
               "embedding of {} in {}", tokens.str(), weight.value.str());
  Tensor y = Tensor::empty({tokens.elements(), weight.value.dim(1)}, weight.value.dtype(),
                           tokens.device());
  backend_of(tokens).embedding_forward(tokens, weight.value, first_row, y);
  if (!recording({}, {&weight})) return y;
  Tape::current()->record("embedding", {}, {&y}, {&weight},
                          [tokens, &weight, first_row](BackwardContext& context) {
                            const Tensor& dy = context.grad_output(0);
                            accumulate_into(weight, [&](Tensor& grad, bool accumulate) {
                              if (!accumulate) backend_of(dy).fill(grad, 0.0f);
                              backend_of(dy).embedding_backward(tokens, dy, first_row, grad);
                            });
                          });
  return y;
}

Tensor before_backward(const Tensor& x, std::function<void()> work) {
  if (!recording({&x})) return x;
  Tensor y = x.detach();
  Tape::current()->record("before_backward", {&x}, {&y}, {},
                          [work = std::move(work)](BackwardContext& context) {
                            work();
                            context.add_grad_input(0, context.grad_output(0));
                          });
  return y;
}

Tensor select_rows(const Tensor& x, const Tensor& rows) {
  TANDEM_CHECK(x.shape().rank() == 2 && rows.dtype() == DType::kI32, "select_rows of {} by {}",
               x.str(), rows.str());
  Tensor y = Tensor::empty({rows.elements(), x.dim(1)}, x.dtype(), x.device());
  backend_of(x).gather_rows(x, rows, y);
  if (!recording({&x})) return y;
  Tape::current()->record("select_rows", {&x}, {&y}, {},
                          [rows, shape = x.shape()](BackwardContext& context) {
                            const Tensor& dy = context.grad_output(0);
                            Tensor dx = Tensor::zeros(shape, dy.dtype(), dy.device());
                            backend_of(dy).scatter_add_rows(dy, rows, dx);
                            context.add_grad_input(0, dx);
                          });
  return y;
}

}  // namespace tandem::runtime
