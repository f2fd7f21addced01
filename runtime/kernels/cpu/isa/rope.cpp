#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

// One head in place: (a, b) → (a·cos − b·sin, b·cos + a·sin) for the halves a, b.
template <typename T>
inline void rotate(T* head, std::int64_t half, const float* cos, const float* sin, float sign) {
  for (std::int64_t j = 0; j < half; j += kLanes) {
    const std::int64_t count = half - j;
    const F32 a = load(head + j, count), b = load(head + half + j, count);
    const F32 c = load(cos + j, count), s = load(sin + j, count) * sign;
    store(head + j, a * c - b * s, count);
    store(head + half + j, b * c + a * s, count);
  }
}

template <typename T>
void rope(HeadRows<T> heads, std::int64_t n, const std::int32_t* positions, const float* cos,
          const float* sin, bool inverse) {
  const std::int64_t half = heads.head_dim / 2;
  parallel_for(n, n * heads.heads * heads.head_dim, [&](std::int64_t i) {
    const std::int64_t angle = positions[i] * half;
    for (std::int64_t head = 0; head < heads.heads; ++head)
      rotate(heads.data + i * heads.stride + head * heads.head_dim, half, cos + angle, sin + angle,
             inverse ? -1.0f : 1.0f);
  });
}

}  // namespace

void fill_rope(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { kernels.rope = rope; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
