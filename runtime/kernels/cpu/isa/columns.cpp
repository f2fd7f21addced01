// Columns of packed rows, scaled on the way.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

template <typename T>
void add_columns(const T* x, std::int64_t n, std::int64_t part, float factor, std::int64_t first,
                 std::int64_t width, T* out) {
  parallel_for(n, n * part, [&](std::int64_t i) {
    const T* from = x + i * part;
    T* to = out + i * width + first;
    for (std::int64_t j = 0; j < part; j += kLanes) {
      const std::int64_t count = part - j;
      store(to + j, load(to + j, count) + load(from + j, count) * factor, count);
    }
  });
}

template <typename T>
void take_columns(const T* x, std::int64_t n, std::int64_t width, float factor, std::int64_t first,
                  std::int64_t part, T* out) {
  parallel_for(n, n * part, [&](std::int64_t i) {
    const T* from = x + i * width + first;
    T* to = out + i * part;
    for (std::int64_t j = 0; j < part; j += kLanes) {
      const std::int64_t count = part - j;
      store(to + j, load(from + j, count) * factor, count);
    }
  });
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.add_columns = add_columns<T>;
  kernels.take_columns = take_columns<T>;
}

}  // namespace

void fill_columns(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
