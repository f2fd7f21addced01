// The position-wise network of a block, plain or gated, divided over the tensor-parallel ranks.
#pragma once

#include <string>

#include "models/layers/weights.h"
#include "parallel/ops/tensor_parallel.h"

namespace tandem::models {

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };

class ConfigFile;
// Reads an activation by transformers' name ("gelu_new"). Throws Error for one that is not known.
Activation read_activation(const ConfigFile& file, std::string_view key, std::string_view fallback);
// The name that transformers writes.
std::string_view name_of(Activation activation);

struct FeedForward {
  Linear up;  // gate | up where gated
  Linear down;
  Activation activation = Activation::kGelu;
  bool gated = false;

  // x between products → the same. Not for a gated relu, nor for silu without a gate.
  runtime::Tensor operator()(const runtime::Tensor& x, const parallel::TensorParallel& tp,
                             const Draws& draws) const;
};

}  // namespace tandem::models
