#include "runtime/device/device.h"

#include <fmt/format.h>

#include <utility>

#include "runtime/base/error.h"

namespace tandem::runtime {

std::string Device::str() const {
  switch (type) {
    case DeviceType::kCPU:
      return "cpu";
    case DeviceType::kCUDA:
      return fmt::format("cuda:{}", index);
    case DeviceType::kMeta:
      return "meta";
  }
  return "?";
}

namespace {
thread_local DeviceType stood_for = DeviceType::kCPU;
}

StandingFor::StandingFor(DeviceType type) : previous_(std::exchange(stood_for, type)) {}
StandingFor::~StandingFor() {
  stood_for = previous_;
}

DeviceType type_stood_for(Device device) {
  return device.type == DeviceType::kMeta ? stood_for : device.type;
}

Device host_memory_of(Device device) {
  if (device.type == DeviceType::kMeta) return {DeviceType::kMeta, 1};
  return {};
}

Storage::Storage(Device device, std::int64_t bytes)
    : device_(device), bytes_(bytes), owner_(true), data_(allocator_of(device).allocate(bytes)) {}

Storage::Storage(Device device, std::int64_t bytes, void* memory)
    : device_(device), bytes_(bytes), owner_(false), data_(memory) {}

Storage::~Storage() {
  if (owner_) allocator_of(device_).deallocate(data_, bytes_);
}

}  // namespace tandem::runtime
