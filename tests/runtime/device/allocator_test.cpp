// The caching allocator of host memory: reuse, exact statistics, and the meta device counting the
// same bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/device/caching_allocator.h"
#include "runtime/device/device.h"
#include "runtime/device/holder.h"

namespace tandem::runtime {
namespace {

const Device kMeta{DeviceType::kMeta, 0};

class HostAllocator : public testing::Test {
 protected:
  void SetUp() override { allocator().release_cached(); }
  void TearDown() override { allocator().release_cached(); }
  static Allocator& allocator() { return allocator_of(Device{}); }
};

TEST_F(HostAllocator, memory_is_aligned_and_writable_to_the_last_byte) {
  for (const std::int64_t bytes : {1, 63, 64, 65, 4097, 2 << 20, (2 << 20) + 1, (5 << 20) + 3}) {
    void* pointer = allocator().allocate(bytes);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(pointer) % Allocator::kAlignment, 0u) << bytes;
    std::memset(pointer, 0xab, static_cast<std::size_t>(bytes));
    allocator().deallocate(pointer, bytes);
  }
}

TEST_F(HostAllocator, nothing_costs_nothing) {
  const MemoryStats before = allocator().stats();
  EXPECT_EQ(allocator().allocate(0), nullptr);
  allocator().deallocate(nullptr, 0);
  EXPECT_EQ(allocator().stats().allocated_bytes, before.allocated_bytes);
  EXPECT_EQ(allocator().stats().reserved_bytes, before.reserved_bytes);
}

TEST_F(HostAllocator, counts_live_bytes_in_whole_alignments_and_remembers_the_peak) {
  allocator().reset_peak();
  const std::int64_t start = allocator().stats().allocated_bytes;
  void* a = allocator().allocate(1);
  void* b = allocator().allocate(100);
  EXPECT_EQ(allocator().stats().allocated_bytes, start + 64 + 128);
  allocator().deallocate(b, 100);
  void* c = allocator().allocate(64);
  EXPECT_EQ(allocator().stats().allocated_bytes, start + 64 + 64);
  EXPECT_EQ(allocator().stats().peak_allocated_bytes, start + 64 + 128);
  allocator().reset_peak();
  EXPECT_EQ(allocator().stats().peak_allocated_bytes, start + 64 + 64);
  allocator().deallocate(a, 1);
  allocator().deallocate(c, 64);
  EXPECT_EQ(allocator().stats().allocated_bytes, start);
}

TEST_F(HostAllocator, a_freed_block_serves_the_next_request_of_about_its_size) {
  void* first = allocator().allocate(1000000);
  allocator().deallocate(first, 1000000);
  const std::int64_t reserved = allocator().stats().reserved_bytes;
  EXPECT_GE(reserved, 1000000);
  void* second = allocator().allocate(950000);
  EXPECT_EQ(second, first);
  EXPECT_EQ(allocator().stats().reserved_bytes, reserved);
  allocator().deallocate(second, 950000);
}

TEST_F(HostAllocator, a_block_much_larger_than_asked_for_is_left_alone) {
  void* large = allocator().allocate(1 << 20);
  allocator().deallocate(large, 1 << 20);
  const std::int64_t reserved = allocator().stats().reserved_bytes;
  void* small = allocator().allocate(1 << 10);
  EXPECT_NE(small, large);
  EXPECT_GT(allocator().stats().reserved_bytes, reserved);
  allocator().deallocate(small, 1 << 10);
}

TEST_F(HostAllocator, live_blocks_never_overlap) {
  std::vector<std::pair<unsigned char*, std::int64_t>> blocks;
  for (int round = 0; round < 3; ++round) {
    for (std::int64_t i = 0; i < 40; ++i) {
      const std::int64_t bytes = 17 + i * i * 31;
      auto* pointer = static_cast<unsigned char*>(allocator().allocate(bytes));
      std::memset(pointer, static_cast<int>(i), static_cast<std::size_t>(bytes));
      blocks.emplace_back(pointer, bytes);
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const auto [pointer, bytes] = blocks[i];
      for (const std::int64_t at : {std::int64_t{0}, bytes / 2, bytes - 1})
        ASSERT_EQ(pointer[at], i) << "block " << i << " byte " << at;
    }
    for (const auto& [pointer, bytes] : blocks) allocator().deallocate(pointer, bytes);
    blocks.clear();
  }
}

TEST_F(HostAllocator, release_gives_cached_memory_back_and_keeps_live_memory) {
  void* live = allocator().allocate(5000);
  std::memset(live, 7, 5000);
  void* freed = allocator().allocate(300000);
  allocator().deallocate(freed, 300000);
  const std::int64_t with_cache = allocator().stats().reserved_bytes;
  allocator().release_cached();
  EXPECT_LE(allocator().stats().reserved_bytes, with_cache - 300000);
  EXPECT_GE(allocator().stats().reserved_bytes, 5000);
  EXPECT_EQ(static_cast<unsigned char*>(live)[4999], 7);
  allocator().deallocate(live, 5000);
}

// Memory of a device that takes nothing back for the moment, and has room for two blocks.
class HeldAllocator final : public CachingAllocator {
 public:
  bool held = false;
  int blocks = 2;

 protected:
  void* from_system(std::int64_t size) override {
    if (blocks == 0) return nullptr;
    --blocks;
    return std::aligned_alloc(64, static_cast<std::size_t>(size));
  }
  void to_system(void* pointer) noexcept override {
    EXPECT_FALSE(held);
    std::free(pointer);
    ++blocks;
  }
  bool can_give_back() const override { return !held; }
  std::string place() const override { return "test"; }
};

TEST(CachingAllocator, gives_nothing_back_while_it_may_not) {
  HeldAllocator memory;
  memory.deallocate(memory.allocate(64), 64);
  void* other = memory.allocate(1 << 20);
  memory.held = true;
  memory.release_cached();
  EXPECT_THROW(memory.allocate(2 << 20), Error) << "what is cached is too small";
  memory.held = false;
  void* large = memory.allocate(2 << 20);
  memory.deallocate(large, 2 << 20);
  memory.deallocate(other, 1 << 20);
  memory.release_cached();
  EXPECT_EQ(memory.stats().reserved_bytes, 0);
}

TEST_F(HostAllocator, an_impossible_request_is_an_environment_error_and_changes_nothing) {
  const MemoryStats before = allocator().stats();
  try {
    allocator().allocate(std::int64_t{1} << 60);
    FAIL() << "allocated";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
    EXPECT_THAT(error.what(), testing::HasSubstr("out of memory"));
    EXPECT_THAT(error.what(), testing::HasSubstr("micro_batch_size"));
  }
  EXPECT_EQ(allocator().stats().allocated_bytes, before.allocated_bytes);
  EXPECT_EQ(allocator().stats().reserved_bytes, before.reserved_bytes);
}

TEST_F(HostAllocator, an_error_about_memory_is_a_table_of_who_has_it) {
  void *weights, *moments, *activations = allocator().allocate(3 << 20);
  {
    const AllocatingFor outer(Holder::kWeights);
    {
      const AllocatingFor scope(Holder::kMoments);
      moments = allocator().allocate(16 << 20);
    }
    weights = allocator().allocate(8 << 20);
  }
  std::string error;
  try {
    allocator().allocate(std::int64_t{1} << 60);
  } catch (const Error& thrown) {
    error = thrown.what();
  }
  EXPECT_THAT(error,
              testing::HasSubstr("\n        16.0 MiB  moments of the optimizer, most of it in "
                                 "1 x 16.0 MiB\n         8.0 MiB  weights, most of it in 1 x "
                                 "8.0 MiB\n"));
  EXPECT_THAT(error, testing::HasSubstr("activations and workspaces"));
  EXPECT_THAT(error,
              testing::EndsWith("(layout: zero_stage: 1), or use a smaller micro_batch_size"));
  allocator().deallocate(weights, 8 << 20);
  allocator().deallocate(moments, 16 << 20);
  allocator().deallocate(activations, 3 << 20);
}

TEST_F(HostAllocator, threads_may_allocate_at_the_same_time) {
  const std::int64_t start = allocator().stats().allocated_bytes;
  std::vector<std::thread> threads;
  std::vector<int> damaged(4);
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 1; i < 500; ++i) {
        auto* words = static_cast<std::size_t*>(allocator().allocate(i * 8));
        words[i - 1] = t;
        std::this_thread::yield();
        damaged[t] += words[i - 1] != t;
        allocator().deallocate(words, i * 8);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(damaged, std::vector<int>(4, 0));
  EXPECT_EQ(allocator().stats().allocated_bytes, start);
}

TEST(MetaAllocator, counts_what_the_host_would_count_and_reserves_nothing) {
  Allocator& meta = allocator_of(kMeta);
  Allocator& host = allocator_of(Device{});
  meta.reset_peak();
  host.reset_peak();
  const std::int64_t meta_start = meta.stats().allocated_bytes,
                     host_start = host.stats().allocated_bytes;
  {
    const Storage a(kMeta, 1000), b(kMeta, 1);
    const Storage c(Device{}, 1000), d(Device{}, 1);
    EXPECT_EQ(a.data(), nullptr);
    EXPECT_NE(c.data(), nullptr);
  }
  EXPECT_EQ(meta.stats().peak_allocated_bytes - meta_start,
            host.stats().peak_allocated_bytes - host_start);
  EXPECT_EQ(meta.stats().peak_allocated_bytes - meta_start, 1024 + 64);
  EXPECT_EQ(meta.stats().allocated_bytes, meta_start);
  EXPECT_EQ(meta.stats().reserved_bytes, 0);
}

TEST(MetaAllocator, holds_models_of_any_size) {
  const Storage terabytes(kMeta, std::int64_t{1} << 50);
  EXPECT_EQ(terabytes.bytes(), std::int64_t{1} << 50);
}

TEST(MetaDevice, stands_for_the_cpu_unless_another_one_is_meant) {
  EXPECT_EQ(type_stood_for(kMeta), DeviceType::kCPU);
  {
    const StandingFor card(DeviceType::kCUDA);
    EXPECT_EQ(type_stood_for(kMeta), DeviceType::kCUDA);
    EXPECT_EQ(type_stood_for(Device{}), DeviceType::kCPU);
    std::thread([] { EXPECT_EQ(type_stood_for(kMeta), DeviceType::kCPU); }).join();
  }
  EXPECT_EQ(type_stood_for(kMeta), DeviceType::kCPU);
}

TEST(Devices, are_named_and_missing_ones_are_errors) {
  EXPECT_EQ(Device{}.str(), "cpu");
  EXPECT_EQ((Device{DeviceType::kCUDA, 1}).str(), "cuda:1");
  EXPECT_EQ(kMeta.str(), "meta");
}

// What is recorded to be replayed finds its addresses again.
TEST_F(HostAllocator, a_private_pool_shares_its_blocks_with_nobody_until_it_ends) {
  auto& caching = dynamic_cast<CachingAllocator&>(allocator());
  auto pool = std::make_unique<PrivatePool>(caching);
  const auto twice = [&] {
    const PrivatePool::Scope scope(*pool);
    void *a = allocator().allocate(1000), *b = allocator().allocate(1000);
    allocator().deallocate(a, 1000);
    allocator().deallocate(b, 1000);
    return std::set<void*>{a, b};
  };
  const std::set<void*> own = twice();
  void* other = allocator().allocate(1000);
  EXPECT_EQ(own.count(other), 0u);
  EXPECT_EQ(twice(), own);
  allocator().release_cached();  // not what is the pool's
  EXPECT_EQ(twice(), own);
  std::thread([&] {
    void* foreign = allocator().allocate(1000);
    EXPECT_EQ(own.count(foreign), 0u) << "another thread's";
    allocator().deallocate(foreign, 1000);
  }).join();
  allocator().release_cached();
  pool.reset();
  void *a = allocator().allocate(1000), *b = allocator().allocate(1000);
  EXPECT_EQ((std::set<void*>{a, b}), own);
  for (void* pointer : {other, a, b}) allocator().deallocate(pointer, 1000);
}

TEST_F(HostAllocator, what_outlives_its_private_pool_is_everybodys_when_it_is_freed) {
  auto pool = std::make_unique<PrivatePool>(dynamic_cast<CachingAllocator&>(allocator()));
  void* kept = nullptr;
  {
    const PrivatePool::Scope scope(*pool);
    kept = allocator().allocate(5000);
  }
  pool.reset();
  allocator().deallocate(kept, 5000);
  EXPECT_EQ(allocator().allocate(5000), kept);
  allocator().deallocate(kept, 5000);
}

}  // namespace
}  // namespace tandem::runtime
