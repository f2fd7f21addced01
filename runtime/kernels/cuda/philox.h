// Philox4x32-10 as in runtime/base/random.cpp: the same bits for a given index, so that what is
// drawn does not depend on the device. For .cu files only.
#pragma once

#include "runtime/kernels/cuda/kernels.h"

namespace tandem::runtime::cuda {

__device__ inline uint4 philox(std::uint64_t key, std::uint64_t counter, std::uint64_t stream) {
  uint4 c = make_uint4(static_cast<unsigned>(counter), static_cast<unsigned>(counter >> 32),
                       static_cast<unsigned>(stream), static_cast<unsigned>(stream >> 32));
  auto k0 = static_cast<unsigned>(key), k1 = static_cast<unsigned>(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = static_cast<std::uint64_t>(0xD2511F53u) * c.x;
    const std::uint64_t p1 = static_cast<std::uint64_t>(0xCD9E8D57u) * c.z;
    c = make_uint4(static_cast<unsigned>(p1 >> 32) ^ c.y ^ k0, static_cast<unsigned>(p1),
                   static_cast<unsigned>(p0 >> 32) ^ c.w ^ k1, static_cast<unsigned>(p0));
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

__device__ inline unsigned word_of(const uint4& block, unsigned index) {
  return index == 0 ? block.x : index == 1 ? block.y : index == 2 ? block.z : block.w;
}

}  // namespace tandem::runtime::cuda
