#include "runtime/device/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "runtime/device/cuda/status.h"

namespace tandem::runtime::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kUploadBytes = 4 << 20;

std::size_t round_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void copy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
          cudaStream_t stream) {
  check(cudaMemcpyAsync(target, source, bytes, kind, stream), "cudaMemcpyAsync of {} bytes", bytes);
}

}  // namespace

Staging::Staging() = default;

Staging::Slot& Staging::next() {
  turn_ = (turn_ + 1) % slots_.size();
  used_ = 0;
  slots_[turn_].done.synchronize();
  return slots_[turn_];
}

void Staging::to_device(void* target, const void* source, std::size_t bytes, cudaStream_t stream) {
  auto* to = static_cast<char*>(target);
  const auto* from = static_cast<const char*>(source);
  while (bytes > 0) {
    if (used_ + std::min(bytes, kSlotBytes / 2) > kSlotBytes) next();
    Slot& slot = slots_[turn_];
    const std::size_t count = std::min(bytes, kSlotBytes - used_);
    char* pinned = static_cast<char*>(slot.memory.data()) + used_;
    std::memcpy(pinned, from, count);
    copy(to, pinned, count, cudaMemcpyHostToDevice, stream);
    slot.done.record(stream);
    used_ = std::min(kSlotBytes, used_ + round_up(count));
    to += count, from += count, bytes -= count;
  }
}

void Staging::to_host(void* target, const void* source, std::size_t bytes, cudaStream_t stream) {
  auto* to = static_cast<char*>(target);
  const auto* from = static_cast<const char*>(source);
  Slot* before = nullptr;
  std::size_t before_bytes = 0;
  const auto drain = [&] {
    if (before == nullptr) return;
    before->done.synchronize();
    std::memcpy(to, before->memory.data(), before_bytes);
    to += before_bytes;
  };
  while (bytes > 0) {
    const std::size_t count = std::min(bytes, kSlotBytes);
    Slot& slot = next();
    copy(slot.memory.data(), from, count, cudaMemcpyDeviceToHost, stream);
    slot.done.record(stream);
    used_ = kSlotBytes;
    from += count, bytes -= count;
    drain();
    before = &slot;
    before_bytes = count;
  }
  drain();
}

void* Uploads::put(const void* source, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return nullptr;
  // A few arrays of one call must not overwrite each other where it begins again from the front.
  constexpr std::size_t kArrays = 8;
  if (kArrays * round_up(bytes) > memory_.bytes()) {
    memory_.reserve(std::max(kUploadBytes, kArrays * round_up(bytes)));
    used_ = 0;
  }
  if (used_ + round_up(bytes) > memory_.bytes()) used_ = 0;
  void* target = static_cast<char*>(memory_.data()) + used_;
  used_ += round_up(bytes);
  staging_.to_device(target, source, bytes, stream);
  return target;
}

}  // namespace tandem::runtime::cuda
