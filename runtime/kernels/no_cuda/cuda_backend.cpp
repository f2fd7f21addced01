// Linked where there is no CUDA toolkit.
#include "runtime/base/error.h"
#include "runtime/device/cuda_support.h"
#include "runtime/kernels/backends.h"

namespace tandem::runtime {

Backend& cuda_backend(int index) {
  throw_error("device cuda:{}: {}; set device: cpu, or rebuild where nvcc is found", index,
              cuda_absence());
}

}  // namespace tandem::runtime
