// Tests of this machine's first card, real or emulated; skipped, with the reason, where there is
// none.
#pragma once

#include <gtest/gtest.h>

#include "runtime/device/cuda_support.h"
#include "runtime/kernels/backend.h"

namespace tandem::test {

inline const runtime::Device kCard{runtime::DeviceType::kCUDA, 0};

class CardTest : public testing::Test {
 protected:
  void SetUp() override {
    if (runtime::cuda_device_count() == 0) GTEST_SKIP() << runtime::cuda_absence();
  }
  // Tests may choose options.
  void TearDown() override {
    if (runtime::cuda_device_count() > 0) runtime::backend_of(kCard).set_options({});
  }
};

}  // namespace tandem::test
