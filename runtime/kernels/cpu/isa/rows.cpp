// Whole rows moved or added by index, and sums over rows. Additions into a row happen in the order
// of the index list: threads own columns, not rows.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

constexpr std::int64_t kColumns = 128;  // a thread's share of columns, whole cache lines

template <typename In, typename Out>
void copy_row(const In* in, std::int64_t width, Out* out) {
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const std::int64_t count = minimum(kLanes, width - j);
    store(out + j, load(in + j, count), count);
  }
}

template <typename Out>
void zero_row(std::int64_t width, Out* out) {
  __builtin_memset(out, 0, static_cast<std::size_t>(width) * sizeof(Out));
}

template <typename In, typename Out>
void gather(const In* in, const std::int32_t* rows, std::int64_t first_row, std::int64_t in_rows,
            std::int64_t n, std::int64_t width, Out* out) {
  parallel_for(n, n * width, [&](std::int64_t i) {
    const std::int64_t row = rows[i] - first_row;
    if (row >= 0 && row < in_rows)
      copy_row(in + row * width, width, out + i * width);
    else
      zero_row(width, out + i * width);
  });
}

template <typename T, typename Out>
void scatter_add_columns(const T* x, const std::int32_t* rows, std::int64_t first_row,
                         std::int64_t n, std::int64_t out_rows, std::int64_t width, Out* out) {
  parallel_for(ceil_div(width, kColumns), n * width, [&](std::int64_t block) {
    const std::int64_t begin = block * kColumns, end = minimum(width, begin + kColumns);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t row = rows[i] - first_row;
      if (row < 0 || row >= out_rows) continue;
      for (std::int64_t j = begin; j < end; j += kLanes) {
        const std::int64_t count = minimum(kLanes, end - j);
        Out* target = out + row * width + j;
        store(target, load(target, count) + load(x + i * width + j, count), count);
      }
    }
  });
}

template <typename T>
void scatter_add(const T* x, const std::int32_t* rows, std::int64_t first_row, std::int64_t n,
                 std::int64_t out_rows, std::int64_t width, float* out) {
  scatter_add_columns(x, rows, first_row, n, out_rows, width, out);
}

template <typename T>
void scatter_add_same(const T* x, const std::int32_t* rows, std::int64_t n, std::int64_t out_rows,
                      std::int64_t width, T* out) {
  scatter_add_columns(x, rows, 0, n, out_rows, width, out);
}

// Runs of kRun rows are summed by themselves and then added, which keeps the rounding error of long
// columns small.
template <typename T>
void column_sum(const T* dy, std::int64_t n, std::int64_t width, float* dbias, bool accumulate) {
  constexpr std::int64_t kRun = 64;
  parallel_for(ceil_div(width, kColumns), n * width, [&](std::int64_t block) {
    const std::int64_t begin = block * kColumns, end = minimum(width, begin + kColumns);
    F32 total[kColumns / kLanes] = {};
    for (std::int64_t run = 0; run < n; run += kRun) {
      F32 partial[kColumns / kLanes] = {};
      for (std::int64_t i = run; i < minimum(n, run + kRun); ++i)
        for (std::int64_t j = begin; j < end; j += kLanes)
          partial[(j - begin) / kLanes] += load(dy + i * width + j, end - j);
      for (std::int64_t v = 0; v < kColumns / kLanes; ++v) total[v] += partial[v];
    }
    for (std::int64_t j = begin; j < end; j += kLanes) {
      F32 result = total[(j - begin) / kLanes];
      if (accumulate) result += load(dbias + j, end - j);
      store(dbias + j, result, end - j);
    }
  });
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.column_sum = column_sum<T>;
  kernels.scatter_add = scatter_add<T>;
  kernels.scatter_add_same = scatter_add_same<T>;
}

}  // namespace

void fill_rows(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
  for_each_pair(table, [](auto& kernels) { kernels.gather = gather; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
