// cuDNN makes a kernel for every kind of problem that attention_engine.h gives it, for an H100 that
// need not be there: a card is described to it, and the toolkit's stub stands in for the driver. It
// says no at the last step, where a kernel would be loaded onto the card.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "runtime/kernels/cuda/cudnn/attention.h"

namespace tandem::runtime::cuda {
namespace {

constexpr const char* kH100 =
    R"({"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
        "regsPerBlock": 65536, "multiProcessorCount": 132, "warpSize": 32,
        "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
        "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
        "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0,
        "supportCoopLaunch": 1, "totalGlobalMem": 85899345920, "smClockRateKHz": 1980000,
        "memClockRateKHz": 2619000, "l2CacheSize": 52428800, "cudaDeviceId": 0, "deviceVer": 900,
        "driverVer": 13000, "deviceName": "NVIDIA H100 80GB HBM3"})";

CudnnProblem problem(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim) {
  const std::int64_t row = (heads + 2 * kv_heads) * head_dim;
  return {.sequences = 8,
          .max_q = 1024,
          .max_k = 1024,
          .total_q = 8192,
          .total_k = 8192,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .q_stride = row,
          .k_stride = row,
          .v_stride = row,
          .dq_stride = row,
          .dk_stride = row,
          .dv_stride = row,
          .scale = 0.125f,
          .causal = true,
          .last_meets_last = false,
          .window = 0};
}

// Of kernels that were made and could not be loaded.
bool was_made(const std::string& refusal) {
  return refusal.empty() || refusal.find("cuLibraryLoadData") != std::string::npos;
}

void expect_plans(const char* what, const CudnnProblem& p) {
  for (const bool backward : {false, true}) {
    const std::string refusal = cudnn_refusal(p, backward, kH100, 90);
    EXPECT_TRUE(was_made(refusal))
        << what << (backward ? ", backward: " : ", forward: ") << refusal;
  }
}

class CudnnPlans : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string absence = cudnn_refusal(problem(1, 1, 20), false, kH100, 90);
    if (absence.find("cuDNN") != std::string::npos)
      GTEST_SKIP() << "no test could run: " << absence;
  }
};

TEST_F(CudnnPlans, are_refused_for_head_sizes_that_we_do_not_give_it) {
  const std::string refusal = cudnn_refusal(problem(4, 4, 20), false, kH100, 90);
  EXPECT_NE(refusal.find("multiple of 8"), std::string::npos) << refusal;
}

TEST_F(CudnnPlans, are_there_for_every_head_size) {
  for (const std::int64_t head_dim : {64, 128, 256})
    expect_plans(fmt::format("head size {}", head_dim).c_str(), problem(16, 8, head_dim));
}

TEST_F(CudnnPlans, are_there_for_every_mask) {
  CudnnProblem p = problem(14, 2, 64);
  p.window = 512;
  expect_plans("window", p);
  p.window = 0;
  p.last_meets_last = true;
  p.max_k = 4096, p.total_k = 32768;
  expect_plans("the last query meets the last key", p);
  p.causal = p.last_meets_last = false;
  expect_plans("no mask", p);
}

TEST_F(CudnnPlans, are_there_for_many_short_texts) {
  CudnnProblem p = problem(12, 12, 64);
  p.sequences = 256, p.max_q = p.max_k = 64, p.total_q = p.total_k = 16384;
  expect_plans("many", p);
}

}  // namespace
}  // namespace tandem::runtime::cuda
