// The allocators of host memory and of the meta device.
#include <sys/mman.h>

#include <cstdlib>
#include <mutex>

#include "runtime/base/error.h"
#include "runtime/device/caching_allocator.h"
#include "runtime/device/cuda_support.h"
#include "runtime/device/device.h"

namespace tandem::runtime {
namespace {

constexpr std::int64_t kHugePage = 2 << 20;

class HostAllocator final : public CachingAllocator {
 protected:
  void* from_system(std::int64_t size) override {
    const std::int64_t alignment = size >= kHugePage ? kHugePage : kAlignment;
    const std::int64_t whole = (size + alignment - 1) / alignment * alignment;
    void* pointer =
        std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(whole));
    if (pointer != nullptr && size >= 2 * kHugePage)
      madvise(pointer, static_cast<std::size_t>(size), MADV_HUGEPAGE);
    return pointer;
  }
  void to_system(void* pointer) noexcept override { std::free(pointer); }
  std::string place() const override { return "the host"; }
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
  static MetaAllocator& meta_host = *new MetaAllocator;
  switch (device.type) {
    case DeviceType::kCPU:
      return host;
    case DeviceType::kMeta:
      return device == host_memory_of(device) ? meta_host : meta;
    case DeviceType::kCUDA:
      return cuda_allocator(device.index);
  }
  TANDEM_CHECK(false, "device type {}", static_cast<int>(device.type));
  return host;
}

}  // namespace tandem::runtime
