// What the CUDA backend of one GPU owns: the compute stream, and memory beside the tensors, whose
// size depends on shapes of calls but not on the model.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>

#include "runtime/device/caching_allocator.h"
#include "runtime/device/cuda/staging.h"
#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda/stream.h"
#include "runtime/kernels/cuda/cudnn/attention.h"
#include "runtime/kernels/cuda/matmul.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime::cuda {

class Context {
 public:
  explicit Context(int index);

  int index() const { return index_; }
  cudaStream_t stream() const { return stream_.get(); }
  // Not while calls are recorded, as all that the host has a part in.
  Staging& staging();
  Matmul& matmul() { return matmul_; }
  CudnnAttention& cudnn() { return cudnn_; }
  std::recursive_mutex& mutex() { return mutex_; }

  // Valid until the next call of scratch: the kernels of one Backend call share it.
  template <typename T>
  T* scratch(std::int64_t count) {
    return static_cast<T*>(grown(scratch_, static_cast<std::size_t>(count) * sizeof(T)));
  }
  // For lists that kernels make for each other: valid until the next call of lists.
  template <typename T>
  T* lists(std::int64_t count) {
    return static_cast<T*>(grown(lists_, static_cast<std::size_t>(count) * sizeof(T)));
  }
  // Valid for the kernels launched by this call.
  template <typename T>
  const T* upload(std::span<const T> values) {
    refuse_while_recorded("reads a list of the host's");
    return static_cast<const T*>(uploads_.put(values.data(), values.size_bytes(), stream()));
  }
  // Of a table that never changes and is never freed: taken to the device once.
  template <typename T>
  const T* constant(std::span<const T> table) {
    return static_cast<const T*>(constant_bytes(table.data(), table.size_bytes()));
  }

  // A word that kernels set when they were given what no shape check can see.
  int* fault() const { return static_cast<int*>(fault_.data()); }
  // Waits for everything; then throws InternalError where a kernel has set the fault.
  void synchronize();
  // Copies to the host, hence waits as well.
  void to_host(void* target, const void* source, std::size_t bytes);

  // While `recorded`, calls are recorded to be replayed: those that need the host throw Error.
  void set_recorded(bool recorded) { recorded_ = recorded; }
  bool recorded() const { return recorded_; }
  // What recorded calls keep between themselves, for all of them, since they run one after the
  // other. Null where the allocator keeps no blocks.
  std::shared_ptr<PrivatePool> replay_pool();

 private:
  static void* grown(DeviceMemory& memory, std::size_t bytes);
  const void* constant_bytes(const void* table, std::size_t bytes);
  void refuse_while_recorded(const char* what) const;
  void raise_fault();

  int index_;
  std::recursive_mutex mutex_;
  Stream stream_;
  Staging staging_;
  Uploads uploads_{staging_};
  DeviceMemory scratch_, lists_;
  std::map<const void*, DeviceMemory> constants_;
  PinnedMemory fault_{sizeof(int)};
  std::weak_ptr<PrivatePool> replay_pool_;
  bool recorded_ = false;
  Matmul matmul_{index_};
  CudnnAttention cudnn_{index_};
};

// One call of the backend: the device is current, other threads wait, errors name the call.
class Call final : public Operation {
 public:
  Call(Context& context, const char* name, std::initializer_list<const Tensor*> tensors);
  std::string describe() const override;

 private:
  std::lock_guard<std::recursive_mutex> lock_;
  const char* name_;
  std::array<const Tensor*, 4> tensors_{};
};

}  // namespace tandem::runtime::cuda
