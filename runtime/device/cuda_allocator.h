// The seam between the device table and the folder that is linked for GPUs (`cuda/` or the stub
// `no_cuda/`).
#pragma once

#include "runtime/device/device.h"

namespace tandem::runtime {

// Throws Error where no GPU support is linked or the index does not exist.
Allocator& cuda_allocator(int index);

}  // namespace tandem::runtime
