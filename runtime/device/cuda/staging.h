// Copies between the host's pageable memory and a device through pinned buffers: the card reads
// pinned memory at the full speed of its bus while the host fills the next buffer.
#pragma once

#include <array>

#include "runtime/device/cuda/stream.h"

namespace tandem::runtime::cuda {

class Staging {
 public:
  Staging();

  // Returns when `source` may be changed; the device sees the data in the order of the stream.
  void to_device(void* target, const void* source, std::size_t bytes, cudaStream_t stream);
  // Returns when the data is there, hence after everything issued before in the stream.
  void to_host(void* target, const void* source, std::size_t bytes, cudaStream_t stream);

 private:
  static constexpr std::size_t kSlotBytes = 4 << 20;
  struct Slot {
    PinnedMemory memory{kSlotBytes};
    Event done;
  };
  Slot& next();

  std::array<Slot, 2> slots_;
  std::size_t turn_ = 0;
  // Small uploads share a slot, so that they seldom wait for the card.
  std::size_t used_ = 0;
};

// Arrays of the host that the next kernels read, those of one call all of about one size. Their
// memory on the device is taken in turns: the stream's order keeps one call's arrays until that
// call has run.
class Uploads {
 public:
  explicit Uploads(Staging& staging) : staging_(staging) {}
  // 16-byte aligned.
  void* put(const void* source, std::size_t bytes, cudaStream_t stream);

 private:
  Staging& staging_;
  DeviceMemory memory_;
  std::size_t used_ = 0;
};

}  // namespace tandem::runtime::cuda
