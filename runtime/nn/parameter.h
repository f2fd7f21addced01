// A trainable (or frozen) tensor of a model: fp32 master values, the copy that kernels compute
// with, the fp32 gradient.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/autograd/tape.h"
#include "runtime/quant/fp8.h"

namespace tandem::runtime {

// What numbers a model computes with. Gradients, optimizer state and norms are always fp32.
struct PrecisionPolicy {
  DType compute = DType::kF32;
  // false, with bf16: the rounded weights are all there is, and what the optimizer updates.
  bool master_weights = true;
  // With bf16: the products of its blocks' linear layers take operands of 8 bits.
  std::optional<Fp8Options> fp8 = {};

  // What most products take.
  DType operands() const { return fp8 ? DType::kF8E4M3 : compute; }
};

// What a recipe names. kFp8 is bf16 but for the products of blocks.
enum class Precision { kFp32, kBf16, kFp16, kFp8 };

inline PrecisionPolicy policy_of(Precision precision, const Fp8Options& fp8 = {}) {
  switch (precision) {
    case Precision::kFp32:
      return {.compute = DType::kF32};
    case Precision::kBf16:
      return {.compute = DType::kBF16};
    case Precision::kFp16:
      return {.compute = DType::kF16};
    case Precision::kFp8:
      break;
  }
  return {.compute = DType::kBF16, .fp8 = fp8};
}

struct Parameter {
  std::string name;
  // fp32, the truth that the optimizer updates. Undefined for a parameter held in compute precision
  // only: a frozen one, or one without master weights.
  Tensor master;
  Leaf leaf;          // leaf.value is the master itself in fp32 training, else a rounded copy
  bool decay = true;  // subject to weight decay: matrices are, norms and biases are not

  bool has_compute_copy() const {
    return master.defined() && !leaf.value.shares_storage_with(master);
  }
  std::int64_t elements() const { return leaf.value.elements(); }
};

}  // namespace tandem::runtime
