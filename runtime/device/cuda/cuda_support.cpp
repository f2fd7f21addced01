// The caching allocator of each GPU, and what is known about GPUs before one is used.
#include "runtime/device/cuda_support.h"

#include <cuda_runtime.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "runtime/base/error.h"
#include "runtime/device/caching_allocator.h"
#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda/stream.h"

namespace tandem::runtime {
namespace {

constexpr int kMaxDevices = 64;

// New memory is no part of what a stream records and may be taken meanwhile, but must say so.
class MemoryWhileRecording {
 public:
  MemoryWhileRecording() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~MemoryWhileRecording() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  MemoryWhileRecording(const MemoryWhileRecording&) = delete;
  MemoryWhileRecording& operator=(const MemoryWhileRecording&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// Blocks are reused in the order of the compute stream: a tensor that another stream reads must
// live until that stream has passed an event.
class CudaAllocator final : public CachingAllocator {
 public:
  explicit CudaAllocator(int index) : index_(index) {}

 protected:
  void* from_system(std::int64_t size) override {
    cuda::use_device(index_);
    const MemoryWhileRecording allowed;
    void* pointer = nullptr;
    const cudaError_t status = cudaMalloc(&pointer, static_cast<std::size_t>(size));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    cuda::check(status, "cudaMalloc of {} bytes", size);
    return pointer;
  }
  void to_system(void* pointer) noexcept override {
    cudaSetDevice(index_);
    cudaFree(pointer);
  }
  bool can_give_back() const override { return !cuda::Recording::underway(); }
  std::string place() const override {
    std::size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess) cudaGetLastError();
    return fmt::format("cuda:{} ({} of {} MiB free)", index_, free >> 20, total >> 20);
  }

 private:
  int index_;
};

struct Presence {
  int count = 0;
  std::string absence;
  Presence() {
    // Streams that share a queue to the card wait for each other: those of a pipeline, which wait
    // for other cards, could close a circle. Eight queues are usual; read when CUDA starts.
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaSuccess && count > 0) return;
    cudaGetLastError();
    count = 0;
    absence = status == cudaErrorInsufficientDriver
                  ? "no driver for this CUDA toolkit was found (nvidia-smi shows the driver)"
                  : fmt::format("no GPU was found ({})", status == cudaSuccess
                                                             ? "the driver lists none"
                                                             : cudaGetErrorString(status));
  }
};

const Presence& presence() {
  static const Presence instance;
  return instance;
}

}  // namespace

int cuda_device_count() {
  return presence().count;
}

std::string cuda_absence() {
  return presence().absence;
}

std::string cuda_card_id(int index) {
  cudaDeviceProp properties = {};
  cuda::check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties({})", index);
  std::string id;
  for (const char byte : properties.uuid.bytes)
    id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return id;
}

std::int64_t cuda_free_bytes(int index) {
  cuda::use_device(index);
  std::size_t free = 0, total = 0;
  cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<std::int64_t>(free);
}

std::string cuda_build() {
  return fmt::format("CUDA {} for {}", TANDEM_CUDA_VERSION, TANDEM_CUDA_ARCHITECTURES);
}

Allocator& cuda_allocator(int index) {
  const int count = cuda_device_count();
  if (count == 0) throw_error("device cuda:{}: {}; set device: cpu", index, cuda_absence());
  if (index < 0 || index >= count)
    throw_error("device cuda:{}: this machine has {} GPU{} (cuda:0 is the first)", index, count,
                count == 1 ? "" : "s");
  static std::mutex mutex;
  static std::array<CudaAllocator*, kMaxDevices> allocators{};
  std::lock_guard lock(mutex);
  CudaAllocator*& allocator = allocators.at(static_cast<std::size_t>(index));
  // Never destroyed: tensors in static objects may outlive it.
  if (allocator == nullptr) allocator = new CudaAllocator(index);
  return *allocator;
}

}  // namespace tandem::runtime
