// The emulator finds what it is there to find: kernels that are right pass, copies of them with one
// mistake do not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/launch.h"
#include "tests/simt/emulator.h"

namespace tandem::runtime::cuda {

void launch_failed(cudaError_t status, const void*, dim3, dim3, std::size_t) {
  throw std::runtime_error(cudaGetErrorString(status));
}

enum class Mistake {
  kNone,
  kMissingBarrier,
  kSkippedBarrier,
  kEarlyLeave,
  kOtherBarrier,
  kOffByOne,
  kSharedOffByOne,
  kMissingLane,
  kOneLane
};

// Sum of each block's 64 numbers by halves in shared memory; the rest of the mistakes are
// variations.
template <Mistake kMistake>
__global__ void tree_sum_kernel(const float* x, float* out) {
  auto* shared = dynamic_shared<float>();
  const unsigned t = threadIdx.x, n = blockDim.x;
  shared[kMistake == Mistake::kSharedOffByOne ? t + 1 : t] = x[blockIdx.x * n + t];
  if (kMistake == Mistake::kEarlyLeave && t == 5) return;
  __syncthreads();
  for (unsigned half = n / 2; half > 0; half /= 2) {
    if (t < half) shared[t] += shared[t + half];
    if (kMistake == Mistake::kMissingBarrier) continue;
    if (kMistake == Mistake::kSkippedBarrier && t >= half) continue;
    if (kMistake == Mistake::kOtherBarrier && t == 0)
      __syncthreads();
    else
      __syncthreads();
  }
  if (t == 0) out[kMistake == Mistake::kOffByOne ? blockIdx.x + 1 : blockIdx.x] = shared[0];
}

template <Mistake kMistake>
__global__ void warp_sum_kernel(const float* x, float* out) {
  float value = x[threadIdx.x];
  const unsigned lane = threadIdx.x % 32;
  const unsigned mask = kMistake == Mistake::kMissingLane ? 0x7fffffffu : kAllLanes;
  if (kMistake == Mistake::kOneLane && lane == 3) return;
  for (int distance = 16; distance > 0; distance /= 2)
    value += __shfl_xor_sync(mask, value, distance);
  if (lane == 0) out[threadIdx.x / 32] = value;
}

namespace {

class EmulatedKernels : public testing::Test {
 protected:
  static constexpr unsigned kBlocks = 3, kThreads = 64;

  EmulatedKernels() {
    for (unsigned i = 0; i < kBlocks * kThreads; ++i) x_[i] = static_cast<float>(i % 17) + 0.25f;
  }
  ~EmulatedKernels() override {
    simt::set_order(simt::Order::kForward);
    cudaFree(x_);
    cudaFree(out_);
    try {
      simt::drain();
    } catch (const simt::Violation&) {
    }
  }

  template <typename Kernel>
  std::vector<float> run(Kernel kernel, simt::Order order, std::size_t shared = 0) {
    simt::set_order(order);
    std::memset(out_, 0, kBlocks * sizeof(float));
    launch(kernel, dim3(kBlocks), dim3(kThreads), shared, nullptr, static_cast<const float*>(x_),
           out_);
    simt::drain();
    return {out_, out_ + kBlocks};
  }
  template <Mistake kMistake>
  std::vector<float> tree(simt::Order order) {
    return run(tree_sum_kernel<kMistake>, order, kThreads * sizeof(float));
  }
  // The same in every order.
  template <Mistake kMistake>
  bool tree_agrees() {
    const std::vector<float> first = tree<kMistake>(simt::Order::kForward);
    return first == tree<kMistake>(simt::Order::kReversed) &&
           first == tree<kMistake>(simt::Order::kShuffled);
  }
  template <typename Work>
  std::string violation(const Work& work) {
    try {
      work();
    } catch (const simt::Violation& violation) {
      return violation.what();
    }
    return "none";
  }

  static float* device(std::size_t count) {
    void* pointer = nullptr;
    EXPECT_EQ(cudaMalloc(&pointer, count * sizeof(float)), cudaSuccess);
    return static_cast<float*>(pointer);
  }

  float* x_ = device(kBlocks * kThreads);
  float* out_ = device(kBlocks);
};

TEST_F(EmulatedKernels, a_right_kernel_gives_the_sum_in_every_order) {
  EXPECT_TRUE(tree_agrees<Mistake::kNone>());
  const std::vector<float> sums = tree<Mistake::kNone>(simt::Order::kShuffled);
  for (unsigned block = 0; block < kBlocks; ++block) {
    float expected = 0;
    for (unsigned i = 0; i < kThreads; ++i) expected += x_[block * kThreads + i];
    EXPECT_EQ(sums[block], expected);
  }
  const std::vector<float> warps = run(warp_sum_kernel<Mistake::kNone>, simt::Order::kReversed);
  EXPECT_EQ(warps[0] + warps[1], sums[0]);
}

TEST_F(EmulatedKernels, a_missing_barrier_gives_other_bits_in_another_order) {
  EXPECT_FALSE(tree_agrees<Mistake::kMissingBarrier>());
}

TEST_F(EmulatedKernels, a_barrier_that_some_threads_skip_is_a_violation) {
  EXPECT_THAT(violation([&] { tree<Mistake::kSkippedBarrier>(simt::Order::kForward); }),
              testing::AllOf(testing::HasSubstr("tree_sum_kernel"),
                             testing::HasSubstr("has left while others wait at a barrier")));
}

TEST_F(EmulatedKernels, a_thread_that_leaves_before_a_barrier_is_a_violation) {
  EXPECT_THAT(violation([&] { tree<Mistake::kEarlyLeave>(simt::Order::kReversed); }),
              testing::HasSubstr("thread 5 has left"));
}

TEST_F(EmulatedKernels, threads_at_different_barriers_are_a_violation) {
  EXPECT_THAT(violation([&] { tree<Mistake::kOtherBarrier>(simt::Order::kForward); }),
              testing::ContainsRegex("barriers broken_kernels_test.cpp:[0-9]+ and "
                                     "broken_kernels_test.cpp:[0-9]+"));
}

// Under AddressSanitizer the write itself ends the program.
TEST_F(EmulatedKernels, an_index_that_is_off_by_one_is_a_violation) {
#if !defined(__SANITIZE_ADDRESS__)
  tree<Mistake::kOffByOne>(simt::Order::kForward);
  EXPECT_THAT(violation([&] {
                cudaFree(out_);
                out_ = nullptr;
                simt::drain();
              }),
              testing::HasSubstr("memory behind an array of 12 bytes was written to"));
#else
  EXPECT_DEATH(tree<Mistake::kOffByOne>(simt::Order::kForward), "use-after-poison");
#endif
}

TEST_F(EmulatedKernels, shared_memory_ends_where_the_launch_said) {
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_THAT(violation([&] { tree<Mistake::kSharedOffByOne>(simt::Order::kForward); }),
              testing::HasSubstr("wrote behind its 256 bytes of shared memory"));
#else
  EXPECT_DEATH(tree<Mistake::kSharedOffByOne>(simt::Order::kForward), "use-after-poison");
#endif
}

TEST_F(EmulatedKernels, warp_operations_want_the_lanes_of_their_mask) {
  EXPECT_THAT(
      violation([&] { run(warp_sum_kernel<Mistake::kMissingLane>, simt::Order::kForward); }),
      testing::HasSubstr("lane 31 is not in the mask"));
  EXPECT_THAT(violation([&] { run(warp_sum_kernel<Mistake::kOneLane>, simt::Order::kForward); }),
              testing::HasSubstr("wait for others that do not come"));
}

TEST_F(EmulatedKernels, work_waits_until_the_host_does) {
  std::memset(out_, 0, kBlocks * sizeof(float));
  launch(tree_sum_kernel<Mistake::kNone>, dim3(kBlocks), dim3(kThreads), kThreads * sizeof(float),
         nullptr, static_cast<const float*>(x_), out_);
  EXPECT_EQ(out_[0], 0.0f);
  simt::drain();
  EXPECT_NE(out_[0], 0.0f);
}

TEST_F(EmulatedKernels, a_launch_that_no_card_can_do_is_refused) {
  const auto start = [&](dim3 grid, dim3 block, std::size_t shared) {
    launch(tree_sum_kernel<Mistake::kNone>, grid, block, shared, nullptr,
           static_cast<const float*>(x_), out_);
  };
  EXPECT_THROW(start(dim3(1), dim3(1025), 0), std::runtime_error);
  EXPECT_THROW(start(dim3(1, 65536), dim3(32), 0), std::runtime_error);
  EXPECT_THROW(start(dim3(1), dim3(32), 228 << 10), std::runtime_error);
  start(dim3(0), dim3(32), 0);
  simt::drain();
}

// What one stream has done is there for another that waits for its event, and else it is not.
TEST(Streams, show_a_wait_that_is_missing) {
  cudaStream_t writer = nullptr, reader = nullptr;
  cudaEvent_t written = nullptr;
  void* memory = nullptr;
  cudaStreamCreateWithFlags(&writer, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&reader, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&written, cudaEventDisableTiming);
  cudaMalloc(&memory, 4);
  for (const bool waits : {true, false}) {
    std::uint32_t seen = 0;
    cudaMemsetAsync(memory, 0, 4, writer);
    cudaStreamSynchronize(writer);
    cudaMemsetAsync(memory, 0x11, 4, writer);
    cudaEventRecord(written, writer);
    if (waits) cudaStreamWaitEvent(reader, written, 0);
    cudaMemcpyAsync(&seen, memory, 4, cudaMemcpyDeviceToHost, reader);
    cudaStreamSynchronize(reader);
    EXPECT_EQ(seen, waits ? 0x11111111u : 0u);
    simt::drain();
  }
  cudaFree(memory);
  cudaEventDestroy(written);
  cudaStreamDestroy(reader);
  cudaStreamDestroy(writer);
}

}  // namespace
}  // namespace tandem::runtime::cuda
