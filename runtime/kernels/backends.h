// The implementations behind backend_of, one folder each.
#pragma once

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

Backend& cpu_backend();
Backend& meta_backend();
// In kernels/cuda, or in kernels/no_cuda where it throws.
Backend& cuda_backend(int index);

}  // namespace tandem::runtime
