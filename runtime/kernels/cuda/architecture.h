// Which generation a card is of.
#pragma once

#include "runtime/device/cuda/status.h"

namespace tandem::runtime::cuda {

// Compute capability, 90 for 9.0.
inline int architecture_of(int card) {
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, card),
        "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, card),
        "cudaDeviceGetAttribute");
  return major * 10 + minor;
}

}  // namespace tandem::runtime::cuda
