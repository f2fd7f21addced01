#include "parallel/data/partial_gradients.h"

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::Tensor;

void sum_partial_gradients(ParameterStore& store) {
  if (store.tp().size() == 1) return;
  std::vector<Tensor> grads;
  std::int64_t elements = 0;
  for (const OwnedPart& part : store.owned()) {
    if (!store.parameters()[part.parameter]->options.partial_over_tp) continue;
    grads.push_back(part.grad);
    elements += part.count;
  }
  if (grads.empty()) return;
  // They are small and many: one sum of all.
  Tensor all = Tensor::empty({elements}, runtime::DType::kF32, store.device());
  const auto for_each = [&](const auto& visit) {
    std::int64_t begin = 0;
    for (Tensor& grad : grads) {
      Tensor place = all.slice(begin, grad.shape());
      visit(grad, place);
      begin += grad.elements();
    }
  };
  for_each([](const Tensor& grad, Tensor& place) { backend_of(place).copy(grad, place); });
  store.tp().all_reduce(all, ReduceOp::kSum, "partial gradients").wait();
  for_each([](Tensor& grad, const Tensor& place) { backend_of(grad).copy(place, grad); });
}

}  // namespace tandem::parallel
