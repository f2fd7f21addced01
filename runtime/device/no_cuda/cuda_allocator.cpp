#include "runtime/device/cuda_allocator.h"

#include "runtime/base/error.h"

namespace tandem::runtime {

Allocator& cuda_allocator(int index) {
  throw_error(
      "device cuda:{}: this trainer was built without CUDA; set device: cpu, or rebuild where nvcc "
      "is found",
      index);
}

}  // namespace tandem::runtime
