#include "parallel/ops/tensor_parallel.h"

#include <algorithm>

#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::BackwardContext;
using runtime::Leaf;
using runtime::Tape;
using runtime::Tensor;

namespace {

// A tensor whose values arrive when `work` is done.
struct Arriving {
  Tensor tensor;
  Work work;

  const Tensor& wait() {
    work.wait();
    return tensor;
  }
};

// From an activation between products to all rows on every rank.
Arriving start_gather(const Tensor& x, const TensorParallel& tp, std::string_view name) {
  if (!tp.divides_tokens()) return {x, {}};
  Tensor all = Tensor::empty({x.dim(0) * tp.group.size(), x.dim(1)}, x.dtype(), x.device());
  Work work = tp.group.all_gather(x, all, name);
  return {all, std::move(work)};
}

// From partial sums [n, width] to their sum between products. `partial` may be overwritten.
Arriving start_sum(Tensor partial, const TensorParallel& tp, std::string_view name) {
  if (!tp.divides_tokens()) {
    Work work = tp.group.all_reduce(partial, ReduceOp::kSum, name);
    return {partial, std::move(work)};
  }
  TANDEM_CHECK(partial.dim(0) % tp.group.size() == 0, "{} ranks do not divide the tokens of {}",
               tp.group.size(), partial.str());
  Tensor own = Tensor::empty({partial.dim(0) / tp.group.size(), partial.dim(1)}, partial.dtype(),
                             partial.device());
  Work work = tp.group.reduce_scatter(partial, own, ReduceOp::kSum, name);
  return {own, std::move(work)};
}

}  // namespace

Tensor reduce_from_tp(const Tensor& x, const TensorParallel& tp) {
  if (tp.group.size() == 1) return x;
  Tensor y = start_sum(x.detach(), tp, "tensor-parallel sum").wait();
  if (!runtime::recording({&x})) return y;
  Tape::current()->record("reduce_from_tp", {&x}, {&y}, {}, [tp](BackwardContext& context) {
    context.add_grad_input(
        0, start_gather(context.grad_output(0), tp, "tensor-parallel gradient").wait());
  });
  return y;
}

Tensor gather_tokens(const Tensor& x, std::int64_t n, const TensorParallel& tp) {
  if (!tp.divides_tokens() && x.dim(0) == n) return x;
  Tensor y = start_gather(x.detach(), tp, "gather tokens").wait().rows(0, n);
  if (!runtime::recording({&x})) return y;
  Tape::current()->record("gather_tokens", {&x}, {&y}, {},
                          [tp, shape = x.shape()](BackwardContext& context) {
                            const Tensor& dy = context.grad_output(0);
                            Tensor dx = Tensor::zeros(shape, dy.dtype(), dy.device());
                            const std::int64_t part = tp.divides_tokens() ? tp.group.rank() : 0;
                            const std::int64_t first = std::min(part * shape[0], dy.dim(0));
                            const std::int64_t rows = std::min(shape[0], dy.dim(0) - first);
                            Tensor filled = dx.rows(0, rows);
                            if (rows > 0)
                              runtime::backend_of(dy).copy(dy.rows(first, rows), filled);
                            context.add_grad_input(0, dx);
                          });
  return y;
}

Tensor own_tokens(const Tensor& all, const TensorParallel& tp) {
  if (!tp.divides_tokens()) return all;
  const std::int64_t rows = all.dim(0) / tp.group.size();
  return all.rows(rows * tp.group.rank(), rows);
}

Tensor column_parallel_linear(const Tensor& x, Leaf& weight, Leaf* bias, const TensorParallel& tp,
                              Tensor* gelu) {
  if (tp.group.size() == 1) return runtime::linear(x, weight, bias, x.dtype(), gelu);
  const bool records = runtime::recording({&x}, {&weight, bias});
  // Ranks that divide tokens keep their own of x, and gather them once more.
  const bool gathers = tp.divides_tokens();
  runtime::KeptInput kept;
  Tensor y = runtime::linear_forward(start_gather(x, tp, "column-parallel input").wait(), weight,
                                     bias, x.dtype(), records && !gathers ? &kept : nullptr, gelu);
  if (!records) return y;
  if (gathers) kept = runtime::KeptInput(x, weight);
  Tape::current()->record(
      "column_parallel_linear", {&x}, {&y}, {&weight, bias},
      [kept, &weight, bias, tp, gathers](BackwardContext& context) {
        const bool needs_input = context.needs_grad(0);
        Arriving all, dx;
        if (gathers && kept.has_values())
          all = start_gather(kept.values(), tp, "column-parallel input");
        const runtime::LinearBackward backward(context.grad_output(0), weight, needs_input);
        if (needs_input) dx = start_sum(backward.input(), tp, "column-parallel input gradient");
        if (gathers)
          backward.parameters(all.wait(), bias);
        else
          backward.parameters(kept, bias);
        if (needs_input) context.add_grad_input(0, dx.wait());
      });
  return y;
}

Tensor row_parallel_linear(const Tensor& x, Leaf& weight, Leaf* bias, const TensorParallel& tp) {
  if (tp.group.size() == 1) return runtime::linear(x, weight, bias);
  const bool records = runtime::recording({&x}, {&weight, bias});
  runtime::KeptInput kept;
  // The first rank's partial sum brings the bias in; its gradient is whole on every rank.
  Tensor y = runtime::linear_forward(x, weight, tp.group.rank() == 0 ? bias : nullptr, x.dtype(),
                                     records ? &kept : nullptr);
  y = start_sum(y, tp, "tensor-parallel sum").wait();
  if (!records) return y;
  Tape::current()->record(
      "row_parallel_linear", {&x}, {&y}, {&weight, bias},
      [kept, &weight, bias, tp](BackwardContext& context) {
        const bool needs_input = context.needs_grad(0);
        const Tensor dy =
            start_gather(context.grad_output(0), tp, "row-parallel output gradient").wait();
        const runtime::LinearBackward backward(dy, weight, needs_input);
        if (needs_input) backward.add_input(context, 0);
        backward.parameters(kept, bias);
      });
  return y;
}

Tensor vocab_parallel_embedding(const Tensor& tokens, Leaf& weight, std::int64_t first_row,
                                const TensorParallel& tp) {
  return reduce_from_tp(runtime::embedding(tokens, weight, first_row), tp);
}

}  // namespace tandem::parallel
