// The stream in which a card's kernels run, for whoever moves tensors beside it: work on another
// stream starts after an event of this one, and this one goes on after an event of the other.
#pragma once

#include <cuda_runtime.h>

namespace tandem::runtime::cuda {

// Throws Error where the card does not exist.
cudaStream_t compute_stream(int index);
// Whether what is submitted now does not run but is recorded, to be replayed.
bool is_recorded(int index);

}  // namespace tandem::runtime::cuda
