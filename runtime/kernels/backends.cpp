#include "runtime/kernels/backends.h"

#include <cstdlib>

namespace tandem::runtime {

Backend& backend_of(Device device) {
  switch (device.type) {
    case DeviceType::kCPU:
      return cpu_backend();
    case DeviceType::kMeta:
      return meta_backend();
    case DeviceType::kCUDA:
      return cuda_backend(device.index);
  }
  TANDEM_CHECK(false, "backend_of: device type {}", static_cast<int>(device.type));
  std::abort();
}

}  // namespace tandem::runtime
