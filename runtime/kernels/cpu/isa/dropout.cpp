// Philox4x32-10 as in runtime/base/random.cpp, kLanes counters at a time: the same bits for a given
// index.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

using U64 = std::uint64_t __attribute__((vector_size(kLanes * 8)));

inline void multiply(std::uint32_t factor, U32 x, U32& high, U32& low) {
  const U64 product = __builtin_convertvector(x, U64) * static_cast<std::uint64_t>(factor);
  high = __builtin_convertvector(product >> 32, U32);
  low = __builtin_convertvector(product, U32);
}

// words[4·i + j] = word j of block first_counter + i, for kLanes blocks.
inline void philox_blocks(std::uint64_t key, std::uint64_t first_counter, std::uint64_t stream,
                          std::uint32_t* words) {
  U64 counter;
  for (int i = 0; i < kLanes; ++i) counter[i] = first_counter + static_cast<std::uint64_t>(i);
  U32 c0 = __builtin_convertvector(counter, U32);
  U32 c1 = __builtin_convertvector(counter >> 32, U32);
  U32 c2 = U32{} + static_cast<std::uint32_t>(stream);
  U32 c3 = U32{} + static_cast<std::uint32_t>(stream >> 32);
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    U32 high0, low0, high1, low1;
    multiply(0xD2511F53u, c0, high0, low0);
    multiply(0xCD9E8D57u, c2, high1, low1);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < kLanes; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

template <typename T>
void dropout_block(const T* x, std::int64_t n, float p, std::uint64_t key, std::uint64_t stream,
                   std::uint64_t first, T* out) {
  constexpr std::int64_t kWords = 4 * kLanes;
  std::uint32_t words[kWords];
  const F32 factor = broadcast(1.0f / (1.0f - p));
  std::int64_t i = -static_cast<std::int64_t>(first % 4);  // blocks start at multiples of 4
  for (std::uint64_t counter = first / 4; i < n; counter += kLanes, i += kWords) {
    philox_blocks(key, counter, stream, words);
    const std::int64_t begin = maximum(i, 0), end = minimum(i + kWords, n);
    for (std::int64_t j = begin; j < end; j += kLanes) {
      const std::int64_t count = minimum(kLanes, end - j);
      U32 bits = {};
      __builtin_memcpy(&bits, words + (j - i), static_cast<std::size_t>(count) * 4);
      const F32 uniform = __builtin_convertvector((I32)(bits >> 8), F32) * 0x1.0p-24f;
      store(out + j, uniform >= p ? load(x + j, count) * factor : F32{}, count);
    }
  }
}

template <typename T>
void dropout(const T* x, std::int64_t n, std::int64_t width, float p, std::uint64_t key,
             std::uint64_t stream, std::uint64_t first_index, std::int64_t row_stride, T* out) {
  if (n == 1) {
    parallel_blocks(width, [&](std::int64_t begin, std::int64_t end) {
      dropout_block(x + begin, end - begin, p, key, stream,
                    first_index + static_cast<std::uint64_t>(begin), out + begin);
    });
    return;
  }
  parallel_for(n, n * width, [&](std::int64_t row) {
    dropout_block(x + row * width, width, p, key, stream,
                  first_index + static_cast<std::uint64_t>(row * row_stride), out + row * width);
  });
}

}  // namespace

void fill_dropout(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { kernels.dropout = dropout; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
