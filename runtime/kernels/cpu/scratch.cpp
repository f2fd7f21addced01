#include "runtime/kernels/cpu/scratch.h"

#include <cstdlib>

#include "runtime/base/error.h"

namespace tandem::runtime::cpu {

void* allocate_scratch(std::int64_t bytes) {
  void* memory = std::aligned_alloc(64, static_cast<std::size_t>(bytes));
  if (memory == nullptr)
    throw_environment_error(
        "out of host memory: {} bytes of scratch space for a kernel; use a smaller micro-batch",
        bytes);
  return memory;
}

void free_scratch(void* memory) noexcept {
  std::free(memory);
}

}  // namespace tandem::runtime::cpu
