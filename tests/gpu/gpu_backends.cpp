// The kernel tests over the CUDA backend of the first card. Every call runs twice and must give the
// same bits.
#include <iostream>

#include "runtime/device/cuda_support.h"
#include "tests/gpu/replay_test.h"
#include "tests/runtime/kernels/kernel_test.h"
#include "tests/support/mirror_backend.h"

namespace tandem::test {

std::vector<std::string> backend_names() {
  return {"cuda"};
}

Backend* select_backend(const std::string&, std::string& absence) {
  absence = runtime::cuda_absence();
  if (runtime::cuda_device_count() == 0) return nullptr;
  static Backend& mirror =
      mirror_backend({runtime::DeviceType::kCUDA, 0}, {{"one run", [] {}}, {"the next", [] {}}});
  return &mirror;
}

void restore_backend() {}

int graphs_submitted() {
  return -1;
}

namespace {

class Presence : public testing::Environment {
  void SetUp() override {
    if (runtime::cuda_device_count() == 0)
      std::cout << "no test could run: " << runtime::cuda_absence() << std::endl;
  }
};

[[maybe_unused]] const testing::Environment* const presence =
    testing::AddGlobalTestEnvironment(new Presence);

}  // namespace
}  // namespace tandem::test
