// Which of a store's matrices are multiplied as 8-bit floats, and what their scales are shared by.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/mesh/shard_spec.h"
#include "runtime/autograd/fp8_product.h"

namespace tandem::parallel {

// Scales and largest magnitudes of products under delayed scaling, fp32 [names, kFp8Operands] each.
// Who trains the model learns from the second what the first shall be (train/fp8_scales.h). Empty
// under current scaling.
struct DelayedScales {
  std::vector<std::string> names;
  runtime::Tensor scales, amaxes;
};
// Scales of 1, magnitudes of 0.
DelayedScales make_delayed_scales(std::vector<std::string> names, runtime::Device device);

// Product `index` of `scales`, whose tensors it shares.
runtime::Fp8Product delayed_product(const DelayedScales& scales, std::size_t index);

// A product whose operands are scaled by what they are: where tensor-parallel ranks hold parts of
// one, by the largest magnitude of all. divides_tokens: what is not divided by `spec` is by tokens.
runtime::Fp8Product current_product(const ShardSpec& spec, bool divides_tokens, const Group& tp);

}  // namespace tandem::parallel
