// The allocators of host memory and of the meta device. Freed host blocks are kept and handed out
// again: fresh pages cost more than most of the kernels that would fill them.
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/device/cuda_allocator.h"
#include "runtime/device/device.h"

namespace tandem::runtime {
namespace {

constexpr std::int64_t kHugePage = 2 << 20;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Counts live bytes in the same way for every device, so that a plan made on one is exact on
// another.
class Accounting {
 public:
  void add(std::int64_t bytes) {
    stats.allocated_bytes += round_up(bytes, Allocator::kAlignment);
    stats.peak_allocated_bytes = std::max(stats.peak_allocated_bytes, stats.allocated_bytes);
  }
  void remove(std::int64_t bytes) {
    stats.allocated_bytes -= round_up(bytes, Allocator::kAlignment);
  }
  MemoryStats stats;
};

class HostAllocator final : public Allocator {
 public:
  void* allocate(std::int64_t bytes) override {
    if (bytes == 0) return nullptr;
    std::lock_guard lock(mutex_);
    accounting_.add(bytes);
    const std::int64_t size = block_size(bytes);
    const auto fit = cached_.lower_bound(size);
    if (fit != cached_.end() && fit->first <= size + size / 4) return take_cached(fit, bytes);
    void* pointer = from_system(size);
    if (pointer == nullptr) {
      release_cached_locked();
      pointer = from_system(size);
    }
    if (pointer == nullptr) {
      accounting_.remove(bytes);
      throw_environment_error(
          "out of memory: {} MiB more were asked for with {} MiB in use; use a smaller "
          "micro_batch_size, "
          "recompute: full, or a larger layout",
          bytes >> 20, accounting_.stats.allocated_bytes >> 20);
    }
    accounting_.stats.reserved_bytes += size;
    sizes_[pointer] = size;
    return pointer;
  }

  void deallocate(void* pointer, std::int64_t bytes) noexcept override {
    if (pointer == nullptr) return;
    std::lock_guard lock(mutex_);
    accounting_.remove(bytes);
    cached_.emplace(sizes_.at(pointer), pointer);
  }

  void release_cached() override {
    std::lock_guard lock(mutex_);
    release_cached_locked();
  }

  MemoryStats stats() const override {
    std::lock_guard lock(mutex_);
    return accounting_.stats;
  }

  void reset_peak() override {
    std::lock_guard lock(mutex_);
    accounting_.stats.peak_allocated_bytes = accounting_.stats.allocated_bytes;
  }

 private:
  using Cache = std::multimap<std::int64_t, void*>;

  // Eight sizes per doubling, so that steps of slightly different length reuse each other's blocks.
  static std::int64_t block_size(std::int64_t bytes) {
    if (bytes >= 16 * kHugePage) return round_up(bytes, kHugePage);
    std::int64_t step = kAlignment;
    while (step * 16 < bytes) step *= 2;
    return round_up(bytes, step);
  }

  void* take_cached(Cache::iterator fit, std::int64_t bytes) {
    void* pointer = fit->second;
    cached_.erase(fit);
    return pointer;
  }

  static void* from_system(std::int64_t size) {
    const std::int64_t alignment = size >= kHugePage ? kHugePage : kAlignment;
    void* pointer = std::aligned_alloc(static_cast<std::size_t>(alignment),
                                       static_cast<std::size_t>(round_up(size, alignment)));
    if (pointer != nullptr && size >= 2 * kHugePage)
      madvise(pointer, static_cast<std::size_t>(size), MADV_HUGEPAGE);
    return pointer;
  }

  void release_cached_locked() {
    for (const auto& [size, pointer] : cached_) {
      std::free(pointer);
      sizes_.erase(pointer);
      accounting_.stats.reserved_bytes -= size;
    }
    cached_.clear();
  }

  mutable std::mutex mutex_;
  Accounting accounting_;
  Cache cached_;
  std::map<void*, std::int64_t> sizes_;
};

class MetaAllocator final : public Allocator {
 public:
  void* allocate(std::int64_t bytes) override {
    std::lock_guard lock(mutex_);
    accounting_.add(bytes);
    return nullptr;
  }
  void deallocate(void*, std::int64_t bytes) noexcept override {
    std::lock_guard lock(mutex_);
    accounting_.remove(bytes);
  }
  void release_cached() override {}
  MemoryStats stats() const override {
    std::lock_guard lock(mutex_);
    return accounting_.stats;
  }
  void reset_peak() override {
    std::lock_guard lock(mutex_);
    accounting_.stats.peak_allocated_bytes = accounting_.stats.allocated_bytes;
  }

 private:
  mutable std::mutex mutex_;
  Accounting accounting_;
};

}  // namespace

Allocator& allocator_of(Device device) {
  // Never destroyed: tensors in other static objects may outlive any order of destruction.
  static HostAllocator& host = *new HostAllocator;
  static MetaAllocator& meta = *new MetaAllocator;
  switch (device.type) {
    case DeviceType::kCPU:
      return host;
    case DeviceType::kMeta:
      return meta;
    case DeviceType::kCUDA:
      return cuda_allocator(device.index);
  }
  TANDEM_CHECK(false, "device type {}", static_cast<int>(device.type));
  return host;
}

}  // namespace tandem::runtime
