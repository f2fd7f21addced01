// Parameters that all tensor-parallel ranks hold, but each uses for a part of the heads or tokens
// (ParameterOptions::partial_over_tp), such as norms under sequence parallelism. What each rank
// has after backward is a part of their gradient.
#pragma once

#include "parallel/layers/parameter_store.h"

namespace tandem::parallel {

// Sums them over the store's tensor-parallel ranks, after the replicas' sums and before gradients
// are used. Collective.
void sum_partial_gradients(ParameterStore& store);

}  // namespace tandem::parallel
