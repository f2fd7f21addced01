// runtime/device/cuda as it is, over the emulated card: the caching allocator, copies in pieces,
// and what errors say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "runtime/base/error.h"
#include "runtime/device/cuda/staging.h"
#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda_support.h"
#include "tests/simt/emulator.h"

namespace tandem::runtime {
namespace {

const Device kCard{DeviceType::kCUDA, 0};

class CudaDevice : public testing::Test {
 protected:
  ~CudaDevice() override {
    simt::set_memory_limit(std::size_t{1} << 40);
    allocator_of(kCard).release_cached();
  }
};

std::vector<std::uint32_t> numbers(std::size_t count) {
  std::vector<std::uint32_t> values(count);
  std::iota(values.begin(), values.end(), 17u);
  return values;
}

TEST_F(CudaDevice, counts_as_the_meta_device_does_and_reuses_blocks) {
  Allocator &card = allocator_of(kCard), &meta = allocator_of({DeviceType::kMeta, 0});
  const std::int64_t before_card = card.stats().allocated_bytes,
                     before_meta = meta.stats().allocated_bytes;
  void* first = card.allocate(1001);
  meta.allocate(1001);
  EXPECT_EQ(card.stats().allocated_bytes - before_card, meta.stats().allocated_bytes - before_meta);
  const std::int64_t reserved = card.stats().reserved_bytes;
  card.deallocate(first, 1001);
  meta.deallocate(nullptr, 1001);
  EXPECT_EQ(card.allocate(1000), first);
  EXPECT_EQ(card.stats().reserved_bytes, reserved);
  card.deallocate(first, 1000);
  EXPECT_EQ(card.stats().allocated_bytes, before_card);
}

TEST_F(CudaDevice, a_full_card_gives_its_cache_back_before_it_gives_up) {
  Allocator& card = allocator_of(kCard);
  simt::set_memory_limit(8 << 20);
  void* large = card.allocate(6 << 20);
  card.deallocate(large, 6 << 20);
  void* larger = card.allocate(7 << 20);
  EXPECT_NE(larger, nullptr);
  try {
    card.allocate(3 << 20);
    FAIL() << "allocated";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
    EXPECT_THAT(error.what(), testing::HasSubstr("out of memory on cuda:0"));
    EXPECT_THAT(error.what(),
                testing::HasSubstr("3.0 MiB more were asked for with 7.0 MiB in use"));
    EXPECT_THAT(error.what(), testing::HasSubstr("1 x 7.0 MiB"));
  }
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  card.deallocate(larger, 7 << 20);
}

TEST_F(CudaDevice, a_workspace_gets_what_tensors_have_given_back) {
  Allocator& card = allocator_of(kCard);
  simt::set_memory_limit(8 << 20);
  void* large = card.allocate(6 << 20);
  EXPECT_THROW(cuda::DeviceMemory(4 << 20), Error);
  card.deallocate(large, 6 << 20);
  EXPECT_NE(cuda::DeviceMemory(4 << 20).data(), nullptr);
}

// More than a pinned buffer, and many small ones that share one.
TEST_F(CudaDevice, staged_copies_arrive_whole_and_in_order) {
  cuda::Stream stream;
  cuda::Staging staging;
  for (const std::size_t count : {1u, 1000u, 1u << 20, (5u << 20) + 3}) {
    const std::vector<std::uint32_t> source = numbers(count);
    std::vector<std::uint32_t> changed = source, back(count);
    cuda::DeviceMemory memory(count * 4);
    staging.to_device(memory.data(), changed.data(), count * 4, stream.get());
    std::fill(changed.begin(), changed.end(), 0u);  // it may be changed at once
    staging.to_host(back.data(), memory.data(), count * 4, stream.get());
    EXPECT_EQ(back, source) << count;
  }
  cuda::Uploads uploads(staging);
  std::vector<const std::uint32_t*> places;
  for (std::uint32_t i = 0; i < 3000; ++i)
    places.push_back(static_cast<const std::uint32_t*>(uploads.put(&i, 4, stream.get())));
  stream.synchronize();
  for (std::uint32_t i = 0; i < 3000; ++i) EXPECT_EQ(*places[i], i);
}

// Wherever the memory that they share begins again.
TEST_F(CudaDevice, large_uploads_of_one_call_lie_beside_each_other) {
  cuda::Stream stream;
  cuda::Staging staging;
  cuda::Uploads uploads(staging);
  constexpr std::size_t kCount = 500'000;
  for (std::uint32_t call = 0; call < 5; ++call) {
    std::vector<const std::uint32_t*> places;
    for (std::uint32_t i = 0; i < 3; ++i) {
      std::vector<std::uint32_t> values(kCount - i, 10 * call + i);
      places.push_back(static_cast<const std::uint32_t*>(
          uploads.put(values.data(), 4 * values.size(), stream.get())));
    }
    stream.synchronize();
    for (std::uint32_t i = 0; i < 3; ++i) {
      EXPECT_EQ(places[i][0], 10 * call + i);
      EXPECT_EQ(places[i][kCount - 3], 10 * call + i);
    }
  }
}

TEST_F(CudaDevice, an_error_names_operation_call_and_device_and_is_cleared) {
  struct Naming final : cuda::Operation {
    std::string describe() const override { return "adamw(fp32[7]@cuda:0)"; }
  };
  const Naming operation;
  void* pointer = nullptr;
  simt::set_memory_limit(100);
  try {
    cuda::check(cudaMalloc(&pointer, 1000), "cudaMalloc of {} bytes", 1000);
    FAIL() << "allocated";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "adamw(fp32[7]@cuda:0) on cuda:0: cudaMalloc of 1000 bytes failed: out of memory "
                 "(cudaErrorMemoryAllocation); use a smaller micro_batch_size or recompute: full");
  }
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(CudaDevice, a_device_that_does_not_exist_is_an_error) {
  EXPECT_EQ(cuda_device_count(), 1);
  EXPECT_THROW(allocator_of({DeviceType::kCUDA, 1}), Error);
  EXPECT_THROW(allocator_of({DeviceType::kCUDA, -1}), Error);
}

}  // namespace
}  // namespace tandem::runtime
