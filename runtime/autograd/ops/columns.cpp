#include "runtime/autograd/ops/columns.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

Tensor add_to_columns(const Tensor& y, const Tensor& x, std::int64_t first, float factor) {
  TANDEM_CHECK(y.shape().rank() == 2 && x.shape().rank() == 2 && x.dim(0) == y.dim(0) &&
                   first >= 0 && first + x.dim(1) <= y.dim(1),
               "{} to the columns from {} of {}", x.str(), first, y.str());
  Tensor sum = y.detach();
  backend_of(y).add_columns(x, factor, first, sum);
  if (!recording({&y, &x})) return sum;
  Tape::current()->record("add_to_columns", {&y, &x}, {&sum}, {},
                          [shape = x.shape(), first, factor](BackwardContext& context) {
                            const Tensor& dsum = context.grad_output(0);
                            Tensor dx = Tensor::empty(shape, dsum.dtype(), dsum.device());
                            backend_of(dsum).take_columns(dsum, factor, first, dx);
                            context.add_grad_input(0, dsum);
                            context.add_grad_input(1, dx);
                          });
  return sum;
}

}  // namespace tandem::runtime
