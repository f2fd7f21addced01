#include "runtime/autograd/fp8_product.h"

#include "runtime/autograd/tape.h"
#include "runtime/device/holder.h"
#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

Tensor current_scale(const Fp8Product::Operand& operand, DType format, const Tensor& values) {
  Tensor amax = Tensor::zeros({1}, DType::kF32, values.device()), scale = empty_like(amax);
  Backend& backend = backend_of(values);
  backend.add_amax(values, amax);
  if (operand.max_over_ranks) operand.max_over_ranks(amax);
  backend.fp8_scale_of(amax, format, scale);
  return scale;
}

void add_weight_codes(Leaf& weight, Fp8Sides sides) {
  const AllocatingFor scope(Holder::kWeights);
  Fp8Matrix& codes = weight.fp8->weight;
  const Fp8Matrix made = quantize(*weight.fp8, Fp8Operand::kWeight, weight.value, sides, true);
  if (made.rows.defined()) codes.rows = made.rows;
  if (made.columns.defined()) codes.columns = made.columns;
  codes.inverse_scale = made.inverse_scale;
}

}  // namespace

DType format_of(Fp8Operand operand) {
  return operand == Fp8Operand::kGradient ? DType::kF8E5M2 : DType::kF8E4M3;
}

Fp8Matrix quantize(Fp8Product& product, Fp8Operand which, const Tensor& values, Fp8Sides sides,
                   bool measure) {
  Fp8Product::Operand& operand = product.operand(which);
  const DType format = format_of(which);
  Fp8Matrix codes = empty_fp8(values.shape(), format, sides, values.device());
  const bool delayed = operand.scale.defined();
  const Tensor scale = delayed ? operand.scale : current_scale(operand, format, values);
  Tensor amax = delayed && measure ? operand.amax : Tensor();
  backend_of(values).quantize_fp8(values, scale, codes, amax);
  return codes;
}

// While a tape records, backward will want the other side: one pass makes both.
const Fp8Matrix& weight_by_rows(Leaf& weight) {
  if (!weight.fp8->weight.rows.defined())
    add_weight_codes(weight, Tape::current() != nullptr ? Fp8Sides::kBoth : Fp8Sides::kRows);
  return weight.fp8->weight;
}

const Fp8Matrix& weight_by_columns(Leaf& weight) {
  if (!weight.fp8->weight.columns.defined()) add_weight_codes(weight, Fp8Sides::kColumns);
  return weight.fp8->weight;
}

}  // namespace tandem::runtime
