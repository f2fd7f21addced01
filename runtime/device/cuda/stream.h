// Owners of the CUDA runtime's handles. Destructors ignore errors: at the end of the process the
// driver may be gone already.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tandem::runtime::cuda {

// Makes `index` the device of the calling thread.
void use_device(int index);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

// As long as one lives, this thread records what it submits instead of running it: memory may be
// taken meanwhile, but not given back.
class Recording {
 public:
  Recording();
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  static bool underway();
};

// Marks a place in a stream; without timing, which would cost more.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream);
  // The stream waits for what was recorded last; the host does not.
  void block(cudaStream_t stream) const;
  // Whether the stream has passed it; true when nothing was recorded.
  bool reached() const;
  // The host waits; returns at once when nothing was recorded.
  void synchronize() const;

 private:
  cudaEvent_t event_ = nullptr;
};

// Raw memory outside the tensors' allocator: workspaces, whose size does not depend on the model.
template <cudaError_t (*kAllocate)(void**, std::size_t), cudaError_t (*kFree)(void*)>
class Memory {
 public:
  Memory() = default;
  explicit Memory(std::size_t bytes);
  ~Memory() { kFree(data_); }
  Memory(Memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  // At least so large from now on; what it held is gone, and its room is free before more is taken.
  // Freeing waits until the card is done with it.
  void reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    *this = Memory();
    *this = Memory(bytes);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

cudaError_t allocate_device(void** pointer, std::size_t bytes);
// How often memory was allocated there or outdate_recordings() was called: unchanged, all that a
// recording refers to beside tensors is where it was.
std::uint64_t recordings_outdated();
// Something else that recordings may refer to is going.
void outdate_recordings();
cudaError_t allocate_pinned(void** pointer, std::size_t bytes);
using DeviceMemory = Memory<allocate_device, cudaFree>;
using PinnedMemory = Memory<allocate_pinned, cudaFreeHost>;

}  // namespace tandem::runtime::cuda
