// The seam between the device table and the folder that is linked for GPUs (`cuda/` or the stub
// `no_cuda/`).
#pragma once

#include <string>

#include "runtime/device/device.h"

namespace tandem::runtime {

// Throws Error where no GPU support is linked or the index does not exist.
Allocator& cuda_allocator(int index);
// GPUs of this machine that this process may use; 0 without a driver. Never throws.
int cuda_device_count();
// Why the count is 0, for messages; empty when it is not.
std::string cuda_absence();
// Tells a card from all others, on any machine. The index must exist.
std::string cuda_card_id(int index);
// What programs can still get of a card's memory. The index must exist.
std::int64_t cuda_free_bytes(int index);
// What `trainer --version` says: "CUDA 13.0 for sm_80-real, sm_90" or "without CUDA".
std::string cuda_build();

}  // namespace tandem::runtime
