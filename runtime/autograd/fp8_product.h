// What a linear layer's products have beside its weight when their operands are 8-bit floats: who
// owns the weight (parallel::ParameterStore) says how operands are scaled, ops/linear.h uses it.
#pragma once

#include <array>
#include <functional>

#include "runtime/quant/fp8.h"

namespace tandem::runtime {

struct Leaf;

// y = x · Wᵀ, dx = dy · W, dW = dyᵀ · x.
enum class Fp8Operand { kInput, kWeight, kGradient };
inline constexpr std::int64_t kFp8Operands = 3;
// Gradients spread wider and need fewer digits: e5m2. The others are e4m3.
DType format_of(Fp8Operand operand);

struct Fp8Product {
  struct Operand {
    // Delayed scaling, fp32 [1] each: what values are multiplied by, and the largest magnitude in
    // this update so far. Undefined under current scaling.
    Tensor scale, amax;
    // Current scaling: the maximum over the ranks that hold a part of it. Empty: this rank has it
    // all.
    std::function<void(Tensor& amax)> max_over_ranks;
  };

  std::array<Operand, kFp8Operands> operands;
  // The codes of the weight, which last until its values change.
  Fp8Matrix weight;

  Operand& operand(Fp8Operand which) { return operands[static_cast<std::size_t>(which)]; }
};

// The codes of an operand. `measure`: its largest magnitude counts in the next scale, under delayed
// scaling; that of what no training step reads does not.
Fp8Matrix quantize(Fp8Product& product, Fp8Operand which, const Tensor& values, Fp8Sides sides,
                   bool measure);

// The codes of leaf.value, made here where they are missing.
const Fp8Matrix& weight_by_rows(Leaf& weight);
const Fp8Matrix& weight_by_columns(Leaf& weight);

}  // namespace tandem::runtime
