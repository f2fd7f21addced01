// y = x · Wᵀ (+ b), the product every layer is made of.
#pragma once

#include "runtime/autograd/tape.h"
#include "runtime/quant/fp8.h"

namespace tandem::runtime {

// x [n, in], weight.value [out, in], bias.value fp32 [out] or null → [n, out] in `out_dtype`.
// The weight may be quantized; the result is of x's type then. Saved: x, unless the weight is
// frozen. Backward: dx = dy·W, dW += dyᵀ·x (fp32), db += column sums of dy. Where the weight's
// products are of 8-bit floats (fp8_product.h), each of the three takes the codes of its operands,
// and x is saved as codes.
// gelu, where not null: becomes gelu(result) (ops/activation.h) in its tanh form where the device
// makes it with the product (Backend::fuses_gelu); is left alone where it does not.
Tensor linear(const Tensor& x, Leaf& weight, Leaf* bias, DType out_dtype, Tensor* gelu = nullptr);
inline Tensor linear(const Tensor& x, Leaf& weight, Leaf* bias = nullptr) {
  return linear(x, weight, bias, x.dtype());
}

// While one lives, products of this thread are those of a step of generation: of few rows, and not
// recorded. They may sum in another order than those of whole texts, which training and scoring
// keep to, so that the same text has the same bits in both.
class GenerationStep {
 public:
  GenerationStep();
  ~GenerationStep();
  GenerationStep(const GenerationStep&) = delete;
  GenerationStep& operator=(const GenerationStep&) = delete;
};

// ---- its parts, for layers that communicate between them

// What the weight's gradient needs of x: nothing where the weight is frozen.
class KeptInput {
 public:
  KeptInput() = default;
  // As it is.
  KeptInput(const Tensor& x, const Leaf& weight) : x_(weight.requires_grad ? Saved(x) : Saved()) {}
  // As codes [in, tokens].
  explicit KeptInput(const Fp8Matrix& codes);

  bool has_values() const { return x_.defined(); }
  Tensor values() const { return x_.get(); }
  bool has_codes() const { return codes_.defined(); }
  Fp8Rows codes() const { return {codes_.get(), inverse_scale_}; }

 private:
  Saved x_, codes_;
  Tensor inverse_scale_;
};

// The result, unrecorded. `kept` (null: nothing) is for the gradient of the weight; gelu as above.
Tensor linear_forward(const Tensor& x, Leaf& weight, const Leaf* bias, DType out_dtype,
                      KeptInput* kept, Tensor* gelu = nullptr);

// The two halves of the backward, which share the codes of dy.
class LinearBackward {
 public:
  // needs_input: input() will be asked for.
  LinearBackward(const Tensor& dy, Leaf& weight, bool needs_input);

  // dx
  Tensor input() const;
  // Adds dx to the gradient of the op's input `index`; where nothing communicates in between.
  void add_input(BackwardContext& context, std::size_t index) const;
  // Adds to the gradients of the weight and of the bias, which may be null.
  void parameters(const KeptInput& x, Leaf* bias) const;
  void parameters(const Tensor& x, Leaf* bias) const;

 private:
  GradProduct product() const;  // dx, for a dense weight
  void add_bias(Leaf* bias) const;

  Tensor dy_;
  Leaf& weight_;
  Fp8Matrix codes_;  // of dy, where products are of 8-bit floats
};

}  // namespace tandem::runtime
