// A linear layer is composed, not multiplied: how its weight is stored (dense or quantized:
// runtime::Leaf), how activations move around the product (not at all, column-parallel,
// row-parallel), and whether adapters run beside it.
#pragma once

#include <vector>

#include "models/adapters/lora.h"
#include "parallel/ops/tensor_parallel.h"

namespace tandem::models {

// A product's parameters; the bias is null where there is none.
struct Linear {
  runtime::Leaf* weight = nullptr;
  runtime::Leaf* bias = nullptr;
  // Adapters of the modules that the product consists of; those that are not adapted have none.
  std::vector<LoraBranch> branches = {};
  const Adapter* adapter = nullptr;
};

// Masks for what adapters read, by all tokens; null: none.
using Draws = std::shared_ptr<const runtime::DropoutDraws>;

// x between products, width in → [n, out / tp]: this rank's output rows. gelu: as of
// runtime::linear; left alone where adapters run beside the product.
runtime::Tensor column_parallel(const Linear& linear, const runtime::Tensor& x,
                                const parallel::TensorParallel& tp, const Draws& draws,
                                runtime::Tensor* gelu = nullptr);
// x [n, in / tp] → between products, width out.
runtime::Tensor row_parallel(const Linear& linear, const runtime::Tensor& x,
                             const parallel::TensorParallel& tp, const Draws& draws);
// Whole on every rank; without dropout.
runtime::Tensor replicated(const Linear& linear, const runtime::Tensor& x);

}  // namespace tandem::models
