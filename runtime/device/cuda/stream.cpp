#include "runtime/device/cuda/stream.h"

#include <atomic>

#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda_support.h"

namespace tandem::runtime::cuda {

void use_device(int index) {
  check(cudaSetDevice(index), "cudaSetDevice({})", index);
}

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}
Stream::~Stream() {
  cudaStreamDestroy(stream_);
}
void Stream::synchronize() const {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

namespace {
thread_local int recordings = 0;
}

Recording::Recording() {
  ++recordings;
}
Recording::~Recording() {
  --recordings;
}
bool Recording::underway() {
  return recordings > 0;
}

Event::Event() {
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
}
Event::~Event() {
  cudaEventDestroy(event_);
}
void Event::record(cudaStream_t stream) {
  check(cudaEventRecord(event_, stream), "cudaEventRecord");
}
void Event::block(cudaStream_t stream) const {
  check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
}
bool Event::reached() const {
  const cudaError_t status = cudaEventQuery(event_);
  if (status != cudaErrorNotReady) check(status, "cudaEventQuery");
  return status == cudaSuccess;
}
void Event::synchronize() const {
  check(cudaEventSynchronize(event_), "cudaEventSynchronize");
}

template <cudaError_t (*kAllocate)(void**, std::size_t), cudaError_t (*kFree)(void*)>
Memory<kAllocate, kFree>::Memory(std::size_t bytes) : bytes_(bytes) {
  if (bytes > 0) check(kAllocate(&data_, bytes), "allocation of a workspace of {} bytes", bytes);
}
template class Memory<allocate_device, cudaFree>;
template class Memory<allocate_pinned, cudaFreeHost>;

namespace {
std::atomic<std::uint64_t> outdated = 0;
}

std::uint64_t recordings_outdated() {
  return outdated;
}
void outdate_recordings() {
  ++outdated;
}

// Tensors' freed blocks are given back before it fails.
cudaError_t allocate_device(void** pointer, std::size_t bytes) {
  outdate_recordings();
  const cudaError_t status = cudaMalloc(pointer, bytes);
  int device = 0;
  if (status != cudaErrorMemoryAllocation || cudaGetDevice(&device) != cudaSuccess) return status;
  cudaGetLastError();
  cuda_allocator(device).release_cached();
  return cudaMalloc(pointer, bytes);
}

// Mapped: a kernel may write a word of it directly.
cudaError_t allocate_pinned(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocPortable | cudaHostAllocMapped);
}

}  // namespace tandem::runtime::cuda
