// A rank's part of a batch whose sequences are divided over ranks of context parallelism.
#pragma once

#include "data/batch.h"

namespace tandem::data {

// The tokens of every sequence that rank `rank` of `ranks` has (runtime/base/context_division.h),
// with their positions, targets and weights, and of every text that an encoder reads. What belongs
// to whole sequences (records, margins, labels) all ranks have. Of one rank, the batch as it is.
Batch context_part(const Batch& batch, int rank, int ranks);

}  // namespace tandem::data
