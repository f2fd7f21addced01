#include "runtime/autograd/ops/norm.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {
namespace {

// d(sum) from the gradient of the normalised output and, when there is one, of the sum itself.
Tensor backward_through_norm(const Tensor& sum, const Tensor& rstd, Leaf& weight, const Tensor& dy,
                             const Tensor& dsum) {
  Tensor dh = empty_like(sum);
  Tensor scratch = weight.requires_grad ? Tensor() : empty_like(weight.value);
  Tensor& dweight = weight.requires_grad ? weight.grad : scratch;
  backend_of(sum).rms_norm_backward(sum, weight.value, rstd, dy, dsum, dh, dweight,
                                    weight.requires_grad && weight.has_grad);
  if (weight.requires_grad) weight.has_grad = true;
  return dh;
}

}  // namespace

Tensor rms_norm(const Tensor& x, Leaf& weight, float eps) {
  TANDEM_CHECK(x.shape().rank() == 2 && weight.value.elements() == x.dim(1),
               "rms_norm of {} with weight {}", x.str(), weight.value.str());
  Tensor y = empty_like(x);
  Tensor unused;
  Tensor rstd = Tensor::empty({x.dim(0)}, DType::kF32, x.device());
  backend_of(x).rms_norm_forward(x, Tensor(), weight.value, eps, unused, y, rstd);
  if (!recording({&x}, {&weight})) return y;
  Tape::current()->record(
      "rms_norm", {&x}, {&y}, {&weight}, [x = x.detach(), rstd, &weight](BackwardContext& context) {
        context.add_grad_input(
            0, backward_through_norm(x, rstd, weight, context.grad_output(0), Tensor()));
      });
  return y;
}

AddNormOutput add_rms_norm(const Tensor& x, const Tensor& residual, Leaf& weight, float eps) {
  TANDEM_CHECK(x.shape() == residual.shape() && weight.value.elements() == x.dim(1),
               "add_rms_norm of {} and {}", x.str(), residual.str());
  Tensor sum = empty_like(x);
  Tensor y = empty_like(x);
  Tensor rstd = Tensor::empty({x.dim(0)}, DType::kF32, x.device());
  backend_of(x).rms_norm_forward(x, residual, weight.value, eps, sum, y, rstd);
  if (!recording({&x, &residual}, {&weight})) return {sum, y};
  const Tensor saved = sum;
  Tape::current()->record("add_rms_norm", {&x, &residual}, {&sum, &y}, {&weight},
                          [saved, rstd, &weight](BackwardContext& context) {
                            const Tensor& dsum = context.grad_output(0);
                            const Tensor& dy = context.grad_output(1);
                            const Tensor dh =
                                dy.defined() ? backward_through_norm(saved, rstd, weight, dy, dsum)
                                             : dsum;
                            context.add_grad_input(0, dh);
                            context.add_grad_input(1, dh);
                          });
  return {sum, y};
}

}  // namespace tandem::runtime
