#include "runtime/autograd/ops/linear.h"

#include "runtime/autograd/fp8_product.h"
#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

thread_local int generation_steps = 0;

const Shape& shape_of(const Leaf& weight) {
  return weight.quantized != nullptr ? weight.quantized->shape : weight.value.shape();
}

DType compute_type(const Leaf& weight) {
  return weight.quantized != nullptr ? weight.quantized->compute : weight.value.dtype();
}

// Its products are those of its values.
bool is_dense(const Leaf& weight) {
  return weight.quantized == nullptr && weight.fp8 == nullptr;
}

// What is made again for backward anyway, or lies elsewhere, costs less as it is than as codes.
bool keeps_codes(const Tensor& x, const Leaf& weight, const KeptInput* kept) {
  return kept != nullptr && weight.requires_grad && !is_kept_elsewhere(x);
}

void fp8_forward(const Tensor& x, Leaf& weight, const Tensor& bias, Tensor& y, KeptInput* kept) {
  const bool keep = keeps_codes(x, weight, kept);
  const Fp8Matrix codes =
      quantize(*weight.fp8, Fp8Operand::kInput, x, keep ? Fp8Sides::kBoth : Fp8Sides::kRows,
               Tape::current() != nullptr);
  backend_of(x).fp8_matmul(codes.by_rows(), weight_by_rows(weight).by_rows(), y, false, bias);
  if (kept != nullptr) *kept = keep ? KeptInput(codes) : KeptInput(x, weight);
}

}  // namespace

GenerationStep::GenerationStep() {
  ++generation_steps;
}
GenerationStep::~GenerationStep() {
  --generation_steps;
}

KeptInput::KeptInput(const Fp8Matrix& codes)
    : codes_(codes.columns), inverse_scale_(codes.inverse_scale) {}

Tensor linear(const Tensor& x, Leaf& weight, Leaf* bias, DType out_dtype, Tensor* gelu) {
  const bool records = recording({&x}, {&weight, bias});
  KeptInput kept;
  Tensor y = linear_forward(x, weight, bias, out_dtype, records ? &kept : nullptr, gelu);
  if (!records) return y;
  Tape::current()->record(
      "linear", {&x}, {&y}, {&weight, bias}, [kept, &weight, bias](BackwardContext& context) {
        const bool needs_input = context.needs_grad(0);
        const LinearBackward backward(context.grad_output(0), weight, needs_input);
        if (needs_input) backward.add_input(context, 0);
        backward.parameters(kept, bias);
      });
  return y;
}

Tensor linear_forward(const Tensor& x, Leaf& weight, const Leaf* bias, DType out_dtype,
                      KeptInput* kept, Tensor* gelu) {
  const Shape& shape = shape_of(weight);
  TANDEM_CHECK(x.shape().rank() == 2 && shape.rank() == 2 && x.dim(1) == shape[1],
               "linear of {} with a weight of {}", x.str(), shape.str());
  Tensor y = Tensor::empty({x.dim(0), shape[0]}, out_dtype, x.device());
  const Tensor bias_value = bias != nullptr ? bias->value : Tensor();
  if (weight.fp8 != nullptr) {
    fp8_forward(x, weight, bias_value, y, kept);
    return y;
  }
  Backend& backend = backend_of(x);
  if (weight.quantized != nullptr) {
    backend.quantized_matmul(x, *weight.quantized, false, y, bias_value);
  } else if (generation_steps > 0) {
    backend.few_rows_matmul(x, weight.value, y, bias_value);
  } else if (gelu != nullptr && backend.fuses_gelu() && out_dtype == x.dtype()) {
    *gelu = empty_like(y);
    backend.product_and_gelu(x, weight.value, bias_value, true, y, *gelu);
  } else {
    backend.matmul(x, false, weight.value, true, y, false, bias_value);
  }
  if (kept != nullptr) *kept = KeptInput(x, weight);
  return y;
}

LinearBackward::LinearBackward(const Tensor& dy, Leaf& weight, bool needs_input)
    : dy_(dy), weight_(weight) {
  if (weight.fp8 == nullptr || !(needs_input || weight.requires_grad)) return;
  codes_ = quantize(*weight.fp8, Fp8Operand::kGradient, dy,
                    !needs_input           ? Fp8Sides::kColumns
                    : weight.requires_grad ? Fp8Sides::kBoth
                                           : Fp8Sides::kRows,
                    true);
}

GradProduct LinearBackward::product() const {
  return {dy_.to(weight_.value.dtype()), weight_.value};
}

Tensor LinearBackward::input() const {
  if (is_dense(weight_)) return product().value();
  const DType dtype = compute_type(weight_);
  Tensor dx = Tensor::empty({dy_.dim(0), shape_of(weight_)[1]}, dtype, dy_.device());
  Backend& backend = backend_of(dy_);
  if (weight_.fp8 != nullptr)
    backend.fp8_matmul(codes_.by_rows(), weight_by_columns(weight_).by_columns(), dx);
  else
    backend.quantized_matmul(dy_.to(dtype), *weight_.quantized, true, dx);
  return dx;
}

void LinearBackward::add_input(BackwardContext& context, std::size_t index) const {
  if (is_dense(weight_))
    context.add_grad_input(index, product());
  else
    context.add_grad_input(index, input());
}

void LinearBackward::parameters(const KeptInput& x, Leaf* bias) const {
  if (!x.has_codes()) return parameters(x.values(), bias);
  accumulate_into(weight_, [&](Tensor& grad, bool accumulate) {
    backend_of(dy_).fp8_matmul(codes_.by_columns(), x.codes(), grad, accumulate);
  });
  add_bias(bias);
}

void LinearBackward::parameters(const Tensor& x, Leaf* bias) const {
  if (weight_.fp8 == nullptr && bias != nullptr && bias->requires_grad && weight_.requires_grad &&
      dy_.dtype() == x.dtype())
    return accumulate_into(weight_, [&](Tensor& grad, bool accumulate) {
      accumulate_into(*bias, [&](Tensor& bias_grad, bool accumulate_bias) {
        backend_of(dy_).linear_gradients(dy_, x, grad, accumulate, bias_grad, accumulate_bias);
      });
    });
  accumulate_into(weight_, [&](Tensor& grad, bool accumulate) {
    if (weight_.fp8 == nullptr)
      return backend_of(dy_).matmul(dy_.to(x.dtype()), true, x, false, grad, accumulate);
    const Fp8Matrix codes =
        quantize(*weight_.fp8, Fp8Operand::kInput, x, Fp8Sides::kColumns, false);
    backend_of(dy_).fp8_matmul(codes_.by_columns(), codes.by_columns(), grad, accumulate);
  });
  add_bias(bias);
}

void LinearBackward::add_bias(Leaf* bias) const {
  if (bias == nullptr) return;
  accumulate_into(*bias, [&](Tensor& grad, bool accumulate) {
    backend_of(dy_).column_sum(dy_, grad, accumulate);
  });
}

}  // namespace tandem::runtime
