#include "runtime/device/cuda/status.h"

#include "runtime/base/error.h"

namespace tandem::runtime::cuda {
namespace {

thread_local const Operation* current = nullptr;

// Errors that a kernel leaves behind come to light at a later call.
const char* remedy(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "use a smaller micro_batch_size or recompute: full";
    case cudaErrorNoKernelImageForDevice:
      return "rebuild with CMAKE_CUDA_ARCHITECTURES set to this card's";
    case cudaErrorInsufficientDriver:
      return "install a driver for this toolkit (trainer --version names it)";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
    case cudaErrorAssert:
      return "a kernel before this call failed; CUDA_LAUNCH_BLOCKING=1 shows which";
    default:
      return "see the driver's log (dmesg, nvidia-smi -q)";
  }
}

}  // namespace

Operation::Operation() : outer_(current) {
  current = this;
}
Operation::~Operation() {
  current = outer_;
}

std::string current_operation() {
  int device = -1;
  if (cudaGetDevice(&device) != cudaSuccess) cudaGetLastError();
  const std::string place = device < 0 ? "no device" : fmt::format("cuda:{}", device);
  return current == nullptr ? place : fmt::format("{} on {}", current->describe(), place);
}

void throw_status(cudaError_t status, const std::string& call) {
  const std::string place = current_operation();
  cudaGetLastError();
  throw_environment_error("{}: {} failed: {} ({}); {}", place, call, cudaGetErrorString(status),
                          cudaGetErrorName(status), remedy(status));
}

void throw_library_status(int status, const char* text, const std::string& call) {
  const std::string place = current_operation();
  cudaGetLastError();
  throw_environment_error("{}: {} failed: {} ({})", place, call, text, status);
}

}  // namespace tandem::runtime::cuda
