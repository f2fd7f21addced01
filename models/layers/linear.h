// A linear layer is composed, not multiplied: how its weight is stored (dense or quantized:
// runtime::Leaf), how activations move around the product (not at all, column-parallel,
// row-parallel), and whether adapters run beside it.
#pragma once

#include <vector>

#include "models/adapters/lora.h"

namespace tandem::models {

// A product's parameters; the bias is null where there is none.
struct Linear {
  runtime::Leaf* weight = nullptr;
  runtime::Leaf* bias = nullptr;
  // Adapters of the modules that the product consists of; those that are not adapted have none.
  std::vector<LoraBranch> branches = {};
  const Adapter* adapter = nullptr;
};

// x [n, in] → [n, out / tp]: this rank's output rows.
runtime::Tensor column_parallel(const Linear& linear, const runtime::Tensor& x,
                                const parallel::Group& tp);
// x [n, in / tp] → [n, out] on every rank.
runtime::Tensor row_parallel(const Linear& linear, const runtime::Tensor& x,
                             const parallel::Group& tp);
// Whole on every rank.
runtime::Tensor replicated(const Linear& linear, const runtime::Tensor& x);

}  // namespace tandem::models
