// Linked where there is no CUDA toolkit.
#include "runtime/device/cuda_support.h"

#include "runtime/base/error.h"

namespace tandem::runtime {

Allocator& cuda_allocator(int index) {
  throw_error("device cuda:{}: {}; set device: cpu, or rebuild where nvcc is found", index,
              cuda_absence());
}

int cuda_device_count() {
  return 0;
}

std::string cuda_absence() {
  return "this trainer was built without CUDA";
}

std::string cuda_card_id(int) {
  return "";
}

std::int64_t cuda_free_bytes(int) {
  return 0;
}

std::string cuda_build() {
  return "without CUDA";
}

}  // namespace tandem::runtime
