// Drawing tokens from logits: exact top-k and top-p in O(vocabulary), without sorting it.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/kernels/backend.h"

namespace tandem::runtime::cpu {

// One draw from a row of `vocabulary` logits; uniform in [0, 1). NaN counts as −∞. Order of the
// filters as in transformers: temperature, top-k, then top-p of what is left. Among equal logits
// the lower index ranks first.
std::int32_t sample_row(const float* logits, std::int64_t vocabulary, const SamplingParams& params,
                        float uniform);

}  // namespace tandem::runtime::cpu
