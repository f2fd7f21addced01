#include "models/layers/linear.h"

#include "runtime/autograd/ops/columns.h"
#include "runtime/autograd/ops/linear.h"

namespace tandem::models {

using parallel::TensorParallel;
using runtime::Tensor;

namespace {

bool has_active_branches(const Linear& linear) {
  return linear.adapter != nullptr && linear.adapter->active() && !linear.branches.empty();
}

// y plus what `product(branch)` gives of each active adapter.
template <typename Product>
Tensor with_branches(const Linear& linear, Tensor y, const Product& product) {
  if (!has_active_branches(linear)) return y;
  for (const LoraBranch& branch : linear.branches)
    y = runtime::add_to_columns(y, product(branch), branch.first_column,
                                linear.adapter->config().scale());
  return y;
}

// What a branch reads: x, under its mask where there is one.
Tensor masked(const Tensor& x, const Linear& linear, const LoraBranch& branch,
              const runtime::DropoutDraws& draws, runtime::DropoutColumns columns) {
  return runtime::dropout(x, static_cast<float>(linear.adapter->config().dropout), branch.path,
                          draws, columns);
}

}  // namespace

Tensor column_parallel(const Linear& linear, const Tensor& x, const TensorParallel& tp,
                       const Draws& draws, Tensor* gelu) {
  const auto read = [&](const LoraBranch& branch) {
    if (draws == nullptr) return x;
    const std::int64_t rows = x.dim(0), first = tp.divides_tokens() ? tp.group.rank() * rows : 0;
    return masked(x, linear, branch, draws->part(first, rows), {0, x.dim(1)});
  };
  return with_branches(
      linear,
      parallel::column_parallel_linear(x, *linear.weight, linear.bias, tp,
                                       has_active_branches(linear) ? nullptr : gelu),
      [&](const LoraBranch& branch) {
        return parallel::column_parallel_linear(runtime::linear(read(branch), *branch.a), *branch.b,
                                                nullptr, tp);
      });
}

Tensor row_parallel(const Linear& linear, const Tensor& x, const TensorParallel& tp,
                    const Draws& draws) {
  const auto read = [&](const LoraBranch& branch) {
    if (draws == nullptr) return x;
    const std::int64_t width = x.dim(1);
    return masked(x, linear, branch, *draws, {tp.group.rank() * width, tp.group.size() * width});
  };
  return with_branches(linear, parallel::row_parallel_linear(x, *linear.weight, linear.bias, tp),
                       [&](const LoraBranch& branch) {
                         return runtime::linear(
                             parallel::row_parallel_linear(read(branch), *branch.a, tp), *branch.b);
                       });
}

Tensor replicated(const Linear& linear, const Tensor& x) {
  return with_branches(linear, runtime::linear(x, *linear.weight, linear.bias),
                       [&](const LoraBranch& branch) {
                         return runtime::linear(runtime::linear(x, *branch.a), *branch.b);
                       });
}

}  // namespace tandem::models
