// The kernel tests over the CUDA backend on the emulated card. Every call runs twice, with its
// threads in order and reversed or shuffled; its tensors have guarded memory of exactly their size.
#include <mutex>

#include "runtime/device/caching_allocator.h"
#include "runtime/device/cuda_support.h"
#include "tests/runtime/kernels/kernel_test.h"
#include "tests/simt/emulator.h"
#include "tests/support/mirror_backend.h"

namespace tandem::runtime {
namespace {

class GuardedAllocator final : public Allocator {
 public:
  void* allocate(std::int64_t bytes) override {
    if (bytes == 0) return nullptr;
    accounting_.add(bytes);
    return simt::allocate_guarded(static_cast<std::size_t>(bytes));
  }
  // Kernels that were submitted may still use it.
  void deallocate(void* pointer, std::int64_t bytes) noexcept override {
    if (pointer == nullptr) return;
    accounting_.remove(bytes);
    simt::enqueue([=] { simt::release_guarded(pointer, static_cast<std::size_t>(bytes)); });
  }
  void release_cached() override {}
  MemoryStats stats() const override { return accounting_.stats; }
  void reset_peak() override {
    accounting_.stats.peak_allocated_bytes = accounting_.stats.allocated_bytes;
  }

 private:
  Accounting accounting_;
};

}  // namespace

Allocator& cuda_allocator(int) {
  static GuardedAllocator& instance = *new GuardedAllocator;
  return instance;
}

int cuda_device_count() {
  return 1;
}
std::string cuda_absence() {
  return "";
}
std::string cuda_build() {
  return "emulated";
}

}  // namespace tandem::runtime

namespace tandem::test {

std::vector<std::string> backend_names() {
  return {"simt"};
}

Backend* select_backend(const std::string&, std::string&) {
  using simt::Order;
  static Backend& mirror =
      mirror_backend({runtime::DeviceType::kCUDA, 0},
                     {{"threads in order", [] { simt::set_order(Order::kForward); }},
                      {"threads in another order", [] {
                         static bool shuffled = false;
                         shuffled = !shuffled;
                         simt::set_order(shuffled ? Order::kShuffled : Order::kReversed);
                       }}});
  return &mirror;
}

void restore_backend() {
  simt::drain();
}

}  // namespace tandem::test
