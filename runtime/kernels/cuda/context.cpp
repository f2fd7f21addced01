#include "runtime/kernels/cuda/context.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/device/cuda_support.h"

namespace tandem::runtime::cuda {

namespace {

// Before the members that belong to the device are made.
int selected(int index) {
  use_device(index);
  return index;
}

}  // namespace

Context::Context(int index) : index_(selected(index)) {
  *fault() = 0;
}

void* Context::grown(DeviceMemory& memory, std::size_t bytes) {
  if (bytes > memory.bytes()) memory.reserve(bytes + bytes / 4);
  return memory.data();
}

const void* Context::constant_bytes(const void* table, std::size_t bytes) {
  DeviceMemory& memory = constants_[table];
  if (memory.bytes() == 0) {
    memory = DeviceMemory(bytes);
    staging().to_device(memory.data(), table, bytes, stream());
  }
  return memory.data();
}

Staging& Context::staging() {
  refuse_while_recorded("copies from the host or to it");
  return staging_;
}

std::shared_ptr<PrivatePool> Context::replay_pool() {
  std::shared_ptr<PrivatePool> pool = replay_pool_.lock();
  if (pool != nullptr) return pool;
  auto* allocator = dynamic_cast<CachingAllocator*>(&cuda_allocator(index_));
  if (allocator != nullptr) replay_pool_ = pool = std::make_shared<PrivatePool>(*allocator);
  return pool;
}

void Context::refuse_while_recorded(const char* what) const {
  if (recorded_) throw_environment_error("{} {}", current_operation(), what);
}

void Context::synchronize() {
  refuse_while_recorded("waits for the card");
  stream_.synchronize();
  raise_fault();
}

void Context::to_host(void* target, const void* source, std::size_t bytes) {
  staging().to_host(target, source, bytes, stream());
  raise_fault();
}

void Context::raise_fault() {
  if (*fault() == 0) return;
  *fault() = 0;
  TANDEM_CHECK(false, "a position beyond the rope tables on cuda:{}", index_);
}

Call::Call(Context& context, const char* name, std::initializer_list<const Tensor*> tensors)
    : lock_(context.mutex()), name_(name) {
  std::copy_n(tensors.begin(), std::min(tensors.size(), tensors_.size()), tensors_.begin());
  use_device(context.index());
}

std::string Call::describe() const {
  std::string text = name_;
  for (std::size_t i = 0; i < tensors_.size() && tensors_[i] != nullptr; ++i)
    text += (i == 0 ? "(" : ", ") + tensors_[i]->str();
  return tensors_[0] == nullptr ? text : text + ")";
}

}  // namespace tandem::runtime::cuda
