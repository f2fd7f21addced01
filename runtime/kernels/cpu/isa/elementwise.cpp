// Memory-bound: the floor is the bytes read and written.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

// body(i, count): elements [i, i + count), count ≤ kLanes.
template <typename Body>
inline void for_each_vector(std::int64_t elements, const Body& body) {
  parallel_blocks(elements, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) body(i, kLanes);
    if (i < end) body(i, end - i);
  });
}

template <typename T>
void fill(T* out, std::int64_t n, float value) {
  const F32 v = broadcast(value);
  for_each_vector(n, [&](std::int64_t i, std::int64_t count) { store(out + i, v, count); });
}

template <typename T>
void scale(T* x, std::int64_t n, float factor) {
  for_each_vector(n, [&](std::int64_t i, std::int64_t count) {
    store(x + i, load(x + i, count) * factor, count);
  });
}

template <typename In, typename Out>
void convert(const In* in, std::int64_t n, Out* out) {
  for_each_vector(
      n, [&](std::int64_t i, std::int64_t count) { store(out + i, load(in + i, count), count); });
}

template <typename A, typename B, typename Out>
void add(const A* a, const B* b, std::int64_t n, Out* out) {
  for_each_vector(n, [&](std::int64_t i, std::int64_t count) {
    store(out + i, load(a + i, count) + load(b + i, count), count);
  });
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.fill = fill<T>;
  kernels.scale = scale<T>;
}

template <typename In, typename Out>
void fill_mixed(MixedKernels<In, Out>& kernels) {
  kernels.convert = convert<In, Out>;
  kernels.add_fp32 = add<In, float, Out>;
  kernels.add_same = add<In, In, Out>;
}

}  // namespace

void fill_elementwise(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
  for_each_pair(table, [](auto& kernels) { fill_mixed(kernels); });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
