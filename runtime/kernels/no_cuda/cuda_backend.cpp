// Linked where there is no CUDA toolkit.
#include "runtime/base/error.h"
#include "runtime/kernels/backends.h"

namespace tandem::runtime {

Backend& cuda_backend(int index) {
  throw_error(
      "device cuda:{}: this trainer was built without CUDA; set device: cpu, or rebuild where nvcc "
      "is found",
      index);
}

}  // namespace tandem::runtime
