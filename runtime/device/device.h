// Where a tensor lives, and the memory of each device: a caching allocator whose statistics are
// exact, so that a step on the meta device (sizes, no memory) predicts the peak of the same step on
// the real one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace tandem::runtime {

enum class DeviceType : std::uint8_t { kCPU, kCUDA, kMeta };

struct Device {
  DeviceType type = DeviceType::kCPU;
  int index = 0;
  bool operator==(const Device&) const = default;
  // "cpu", "cuda:1", "meta"
  std::string str() const;
};

// As long as one lives, the meta device stands for one of this type in this thread, where what is
// done depends on the device: sizes of chunks. Otherwise it stands for the CPU.
class StandingFor {
 public:
  explicit StandingFor(DeviceType type);
  ~StandingFor();
  StandingFor(const StandingFor&) = delete;
  StandingFor& operator=(const StandingFor&) = delete;

 private:
  DeviceType previous_;
};
// The type of `device`, or what it stands for.
DeviceType type_stood_for(Device device);

// Where goes what a device's memory need not hold: the host's. A CPU's is its own. The meta device
// has one too, whose bytes are counted apart: what the host of a card would hold.
Device host_memory_of(Device device);

struct MemoryStats {
  std::int64_t allocated_bytes = 0;       // in live tensors, each rounded up to kAlignment
  std::int64_t peak_allocated_bytes = 0;  // highest allocated_bytes since the last reset
  std::int64_t reserved_bytes = 0;        // taken from the system, live or cached
};

class Allocator {
 public:
  static constexpr std::int64_t kAlignment = 64;

  virtual ~Allocator() = default;
  // At least `bytes` bytes aligned to kAlignment, contents undefined; null on the meta device and
  // for 0 bytes. Throws Error (environment) naming the size when memory runs out.
  virtual void* allocate(std::int64_t bytes) = 0;
  virtual void deallocate(void* pointer, std::int64_t bytes) noexcept = 0;
  // Gives cached blocks back to the system.
  virtual void release_cached() = 0;
  virtual MemoryStats stats() const = 0;
  virtual void reset_peak() = 0;
};

// The allocator of a device; lives for the whole process.
Allocator& allocator_of(Device device);

// Owns one allocation, or borrows memory that somebody else keeps for as long. Shared by the
// tensors that view it.
class Storage {
 public:
  Storage(Device device, std::int64_t bytes);
  // Borrows.
  Storage(Device device, std::int64_t bytes, void* memory);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  Device device_;
  std::int64_t bytes_;
  bool owner_;
  void* data_;
};

}  // namespace tandem::runtime
