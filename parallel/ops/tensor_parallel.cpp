#include "parallel/ops/tensor_parallel.h"

#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::BackwardContext;
using runtime::Leaf;
using runtime::Tape;
using runtime::Tensor;

Tensor reduce_from_tp(const Tensor& x, const Group& tp) {
  if (tp.size() == 1) return x;
  Tensor y = x.detach();
  tp.all_reduce(y, ReduceOp::kSum, "tensor-parallel sum").wait();
  if (!runtime::recording({&x})) return y;
  Tape::current()->record("reduce_from_tp", {&x}, {&y}, {}, [](BackwardContext& context) {
    context.add_grad_input(0, context.grad_output(0));
  });
  return y;
}

Tensor column_parallel_linear(const Tensor& x, Leaf& weight, Leaf* bias, const Group& tp) {
  if (tp.size() == 1) return runtime::linear(x, weight, bias);
  Tensor y;
  {
    const runtime::TapeScope forward_only(nullptr);
    y = runtime::linear(x, weight, bias);
  }
  if (!runtime::recording({&x}, {&weight, bias})) return y;
  Tape::current()->record(
      "column_parallel_linear", {&x}, {&y}, {&weight, bias},
      [x = runtime::saved_for_weight(x, weight), &weight, bias, tp](BackwardContext& context) {
        const Tensor& dy = context.grad_output(0);
        Tensor dx;
        Work sum;
        if (context.needs_grad(0)) {
          dx = runtime::linear_grad_input(dy, weight);
          sum = tp.all_reduce(dx, ReduceOp::kSum, "column-parallel input gradient");
        }
        runtime::linear_grad_weight(dy, x, weight, bias);
        sum.wait();
        if (dx.defined()) context.add_grad_input(0, dx);
      });
  return y;
}

Tensor row_parallel_linear(const Tensor& x, Leaf& weight, Leaf* bias, const Group& tp) {
  if (tp.size() == 1) return runtime::linear(x, weight, bias);
  // The first rank's partial sum brings the bias in; its gradient is whole on every rank.
  Tensor y;
  {
    const runtime::TapeScope forward_only(nullptr);
    y = runtime::linear(x, weight, tp.rank() == 0 ? bias : nullptr);
  }
  tp.all_reduce(y, ReduceOp::kSum, "tensor-parallel sum").wait();
  if (!runtime::recording({&x}, {&weight, bias})) return y;
  Tape::current()->record(
      "row_parallel_linear", {&x}, {&y}, {&weight, bias},
      [x = runtime::saved_for_weight(x, weight), &weight, bias](BackwardContext& context) {
        const Tensor& dy = context.grad_output(0);
        if (context.needs_grad(0))
          context.add_grad_input(0, runtime::linear_grad_input(dy, weight));
        runtime::linear_grad_weight(dy, x, weight, bias);
      });
  return y;
}

Tensor vocab_parallel_embedding(const Tensor& tokens, Leaf& weight, std::int64_t first_row,
                                const Group& tp) {
  return reduce_from_tp(runtime::embedding(tokens, weight, first_row), tp);
}

}  // namespace tandem::parallel
