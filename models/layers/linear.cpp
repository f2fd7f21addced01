#include "models/layers/linear.h"

#include "runtime/autograd/ops/columns.h"
#include "runtime/autograd/ops/linear.h"

namespace tandem::models {

using runtime::Tensor;

namespace {

// y plus what `product(branch)` gives of each active adapter.
template <typename Product>
Tensor with_branches(const Linear& linear, Tensor y, const Product& product) {
  if (linear.adapter == nullptr || !linear.adapter->active()) return y;
  for (const LoraBranch& branch : linear.branches)
    y = runtime::add_to_columns(y, product(branch), branch.first_column,
                                linear.adapter->config().scale());
  return y;
}

}  // namespace

Tensor column_parallel(const Linear& linear, const Tensor& x, const parallel::TensorParallel& tp) {
  return with_branches(linear, parallel::column_parallel_linear(x, *linear.weight, linear.bias, tp),
                       [&](const LoraBranch& branch) {
                         return parallel::column_parallel_linear(runtime::linear(x, *branch.a),
                                                                 *branch.b, nullptr, tp);
                       });
}

Tensor row_parallel(const Linear& linear, const Tensor& x, const parallel::TensorParallel& tp) {
  return with_branches(linear, parallel::row_parallel_linear(x, *linear.weight, linear.bias, tp),
                       [&](const LoraBranch& branch) {
                         return runtime::linear(parallel::row_parallel_linear(x, *branch.a, tp),
                                                *branch.b);
                       });
}

Tensor replicated(const Linear& linear, const Tensor& x) {
  return with_branches(linear, runtime::linear(x, *linear.weight, linear.bias),
                       [&](const LoraBranch& branch) {
                         return runtime::linear(runtime::linear(x, *branch.a), *branch.b);
                       });
}

}  // namespace tandem::models
