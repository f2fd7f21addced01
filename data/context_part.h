// A rank's part of a batch whose sequences are divided over ranks of context parallelism.
#pragma once

#include "data/batch.h"

namespace tandem::data {

// The tokens of every sequence that rank `rank` of `ranks` has (runtime/base/context_division.h),
// with their positions, targets and weights; `whole_cu_seqlens` says what they are parts of. Of one
// rank, the batch as it is. Not for encoder-decoders, nor for batches of preferences.
Batch context_part(const Batch& batch, int rank, int ranks);

}  // namespace tandem::data
