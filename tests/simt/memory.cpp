#include "tests/simt/memory.h"

#include <cuda_runtime.h>
#include <fmt/format.h>
#include <sanitizer/asan_interface.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/simt/emulator.h"

namespace tandem::runtime::cuda {

// What dynamic_shared() in runtime/kernels/cuda/block.h declares; without an initialiser so that
// only touched pages exist.
constinit thread_local uint4 block_memory[(simt::kMaxSharedBytes + 4096) / sizeof(uint4)];

}  // namespace tandem::runtime::cuda

namespace simt {
namespace {

constexpr std::size_t kGuard = 128;
constexpr int kGarbage = 0xff;  // NaN in every floating type
constexpr unsigned char kMark = 0x5a;

// The guard begins at once: a guard after padding would miss an index that is off by one.
void set_guard(char* end) {
  std::memset(end, kMark, kGuard);
  ASAN_POISON_MEMORY_REGION(end, kGuard);
}

bool guard_is_whole(char* end) {
  ASAN_UNPOISON_MEMORY_REGION(end, kGuard);
  for (std::size_t i = 0; i < kGuard; ++i)
    if (static_cast<unsigned char>(end[i]) != kMark) return false;
  return true;
}

char* shared_memory() {
  return reinterpret_cast<char*>(tandem::runtime::cuda::block_memory);
}

}  // namespace

void prepare_shared_memory(std::size_t bytes) {
  // A block that was given up has left its guard.
  ASAN_UNPOISON_MEMORY_REGION(shared_memory(), sizeof tandem::runtime::cuda::block_memory);
  std::memset(shared_memory(), kGarbage, bytes);
  set_guard(shared_memory() + bytes);
}

void check_shared_memory(std::size_t bytes, const std::string& kernel) {
  if (!guard_is_whole(shared_memory() + bytes))
    throw Violation(
        fmt::format("kernel {} wrote behind its {} bytes of shared memory", kernel, bytes));
}

void* allocate_guarded(std::size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 64, bytes + kGuard) != 0) throw std::bad_alloc();
  std::memset(memory, kGarbage, bytes);
  set_guard(static_cast<char*>(memory) + bytes);
  return memory;
}

void release_guarded(void* memory, std::size_t bytes) {
  const bool whole = guard_is_whole(static_cast<char*>(memory) + bytes);
  std::free(memory);
  if (!whole)
    throw Violation(fmt::format("memory behind an array of {} bytes was written to", bytes));
}

}  // namespace simt
