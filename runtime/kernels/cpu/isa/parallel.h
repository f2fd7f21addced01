// Loops over threads. Work is cut into blocks whose size depends on the problem alone, never on the
// number of threads, and reductions add the blocks' partial results in order: the same bits with 1
// thread or 64.
#pragma once

#include <omp.h>

#include <cstdint>

#include "runtime/kernels/cpu/isa/vec.h"
#include "runtime/kernels/cpu/scratch.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

// Below this many element operations waking a second thread costs more than it saves.
constexpr std::int64_t kSerialWork = 1 << 15;

// body(i) for i in [0, count); `work` is the total number of element operations.
template <typename Body>
inline void parallel_for(std::int64_t count, std::int64_t work, const Body& body) {
  if (count <= 1 || work < kSerialWork) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

inline std::int64_t thread_count() {
  return omp_get_max_threads();
}

// The same where items differ in cost. start(): once on every thread, before its first item.
template <typename Start, typename Body>
inline void parallel_for_dynamic(std::int64_t count, std::int64_t work, const Start& start,
                                 const Body& body) {
  if (count <= 1 || work < kSerialWork) {
    start();
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
#pragma omp parallel
  {
    start();
#pragma omp for schedule(dynamic, 1) nowait
    for (std::int64_t i = 0; i < count; ++i) body(i);
  }
}
template <typename Body>
inline void parallel_for_dynamic(std::int64_t count, std::int64_t work, const Body& body) {
  parallel_for_dynamic(
      count, work, [] {}, body);
}

// body(begin, end) over a flat range in blocks of kBlock elements.
constexpr std::int64_t kBlock = 8192;
template <typename Body>
inline void parallel_blocks(std::int64_t elements, const Body& body) {
  parallel_for(ceil_div(elements, kBlock), elements, [&](std::int64_t block) {
    body(block * kBlock, minimum(elements, (block + 1) * kBlock));
  });
}

// A thread's scratch memory, kept until the thread ends: asking again for at most as much costs
// nothing.
class Scratch {
 public:
  ~Scratch() { free_scratch(memory_); }
  // 64-byte aligned, contents undefined.
  void* get(std::int64_t bytes) {
    if (bytes > bytes_) {
      free_scratch(memory_);
      memory_ = nullptr;
      bytes_ = round_up(bytes, 4096);
      memory_ = allocate_scratch(bytes_);
    }
    return memory_;
  }
  float* floats(std::int64_t count) { return static_cast<float*>(get(count * 4)); }

 private:
  void* memory_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
