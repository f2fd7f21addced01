// A trainable (or frozen) tensor of a model: fp32 master values, the copy that kernels compute
// with, the fp32 gradient.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

// What numbers a model computes with. Gradients, optimizer state and norms are always fp32.
struct PrecisionPolicy {
  DType compute = DType::kF32;
  // false, with bf16: the rounded weights are all there is, and what the optimizer updates.
  bool master_weights = true;
};

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
