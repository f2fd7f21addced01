#include "parallel/layers/fp8_products.h"

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::DType;
using runtime::Fp8Operand;
using runtime::Fp8Product;
using runtime::kFp8Operands;
using runtime::Tensor;

DelayedScales make_delayed_scales(std::vector<std::string> names, runtime::Device device) {
  const runtime::Shape shape{static_cast<std::int64_t>(names.size()), kFp8Operands};
  DelayedScales made{std::move(names), Tensor::empty(shape, DType::kF32, device),
                     Tensor::zeros(shape, DType::kF32, device)};
  runtime::backend_of(made.scales).fill(made.scales, 1.0f);
  return made;
}

Fp8Product delayed_product(const DelayedScales& scales, std::size_t index) {
  Fp8Product product;
  for (std::size_t i = 0; i < product.operands.size(); ++i) {
    const auto place =
        static_cast<std::int64_t>(index) * kFp8Operands + static_cast<std::int64_t>(i);
    product.operands[i].scale = scales.scales.slice(place, {1});
    product.operands[i].amax = scales.amaxes.slice(place, {1});
  }
  return product;
}

Fp8Product current_product(const ShardSpec& spec, bool divides_tokens, const Group& tp) {
  Fp8Product product;
  if (tp.size() == 1) return product;
  const auto share = [&](Fp8Operand operand) {
    product.operand(operand).max_over_ranks = [tp](Tensor& amax) {
      tp.all_reduce(amax, ReduceOp::kMax, "largest magnitude").wait();
    };
  };
  // Output rows: every rank has its part of dy. Input columns: its part of x.
  if (spec.dim >= 0) share(Fp8Operand::kWeight);
  if (spec.dim == 0 || divides_tokens) share(Fp8Operand::kGradient);
  if (spec.dim == 1 || divides_tokens) share(Fp8Operand::kInput);
  return product;
}

}  // namespace tandem::parallel
