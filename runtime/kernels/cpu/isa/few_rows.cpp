// Products of few rows with a weight that is read once, as it lies: what a step of generation is
// made of. gemm.cpp brings the weight into an order for many rows, which takes longer than
// multiplying few.
//
// Both operands lie along k, and so do the lanes: lane l sums the products of every kLanes-th k,
// and the lanes are added at the end. Every element has that order of sums, whatever m, n and the
// number of threads: a row of the result does not depend on the rows beside it.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/transpose.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

template <typename In, typename Out>
struct Task {
  const In* x;       // [m, k]
  const In* weight;  // [n, k]
  std::int64_t m, n, k;
  Out* out;           // [m, n]
  const float* bias;  // null: none
};

// Lane j of the result is the sum of all lanes of sums[j].
inline F32 sums_of_lanes(F32* sums) {
  transpose_square(sums);
#pragma GCC unroll 4
  for (int half = kLanes / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  return sums[0];
}

// kRows rows of x with columns [begin, end) of the result. As many columns at a time as make, with
// the rows, a square of sums: enough to hide the latency of a multiplication, and added up by one
// transposition.
template <typename In, typename Out, int kRows>
class Panel {
 public:
  // x: [kRows, pitch], fp32, zeros beyond k; of the rows the first `rows` exist.
  Panel(const Task<In, Out>& task, const float* x, std::int64_t pitch, std::int64_t first_row,
        std::int64_t rows)
      : t_(task), x_(x), pitch_(pitch), first_row_(first_row), rows_(rows) {}

  void run(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t column = begin; column < end; column += kColumns)
      columns(column, minimum(kColumns, end - column));
  }

 private:
  static constexpr int kColumns = kLanes / kRows;

  void columns(std::int64_t column, std::int64_t count) const {
    const In* weight[kColumns];
    for (int c = 0; c < kColumns; ++c)
      weight[c] = t_.weight + (column + (c < count ? c : 0)) * t_.k;
    F32 sums[kLanes] = {};
    std::int64_t k = 0;
    for (; k + kLanes <= t_.k; k += kLanes) {
      F32 w[kColumns];
#pragma GCC unroll 16
      for (int c = 0; c < kColumns; ++c) {
        w[c] = load(weight[c] + k);
        __builtin_prefetch(weight[c] + k + kColumns * t_.k);
      }
      add_products(w, k, sums);
    }
    if (k < t_.k) {
      F32 w[kColumns];
#pragma GCC unroll 16
      for (int c = 0; c < kColumns; ++c) w[c] = load(weight[c] + k, t_.k - k);
      add_products(w, k, sums);
    }
    write(sums_of_lanes(sums), column, count);
  }

  void add_products(const F32 (&w)[kColumns], std::int64_t k, F32 (&sums)[kLanes]) const {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const F32 x = load(x_ + r * pitch_ + k);
#pragma GCC unroll 16
      for (int c = 0; c < kColumns; ++c) sums[c * kRows + r] += w[c] * x;
    }
  }

  void write(F32 sums, std::int64_t column, std::int64_t count) const {
    if (t_.bias != nullptr) {
      float bias[kLanes] = {};
      for (std::int64_t i = 0; i < count * kRows; ++i) bias[i] = t_.bias[column + i / kRows];
      sums += load(bias);
    }
    Out values[kLanes];
    store(values, sums);
    for (std::int64_t c = 0; c < count; ++c)
      for (std::int64_t r = 0; r < rows_; ++r)
        t_.out[(first_row_ + r) * t_.n + column + c] = values[c * kRows + r];
  }

  const Task<In, Out>& t_;
  const float* x_;
  std::int64_t pitch_, first_row_, rows_;
};

// Rows at a time: as many as leave two columns for each of their vectors.
constexpr std::int64_t kMostRows = kLanes / 2;

template <typename In, typename Out>
void some_rows(const Task<In, Out>& task, const float* x, std::int64_t pitch, std::int64_t first,
               std::int64_t begin, std::int64_t end) {
  const std::int64_t rows = minimum(kMostRows, task.m - first);
  const auto run = [&]<int kRows>() {
    Panel<In, Out, kRows>(task, x + first * pitch, pitch, first, rows).run(begin, end);
  };
  if (rows == 1)
    run.template operator()<1>();
  else if (rows == 2)
    run.template operator()<2>();
  else if (rows <= 4 && kMostRows > 4)
    run.template operator()<4>();
  else
    run.template operator()<kMostRows>();
}

// x as a panel reads it, [rows, pitch].
template <typename In, typename Out>
void take_rows(const Task<In, Out>& task, std::int64_t pitch, Scratch& scratch) {
  const std::int64_t rows = round_up(task.m, kMostRows);
  float* x = scratch.floats(rows * pitch);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < pitch; k += kLanes)
      store(x + r * pitch + k, r < task.m ? load(task.x + r * task.k + k, task.k - k) : F32{});
}

// Threads take columns as they come: memory, which is what a product of few rows waits for, does
// not serve all of them alike.
template <typename In, typename Out>
void few_rows(const In* x, const In* weight, std::int64_t m, std::int64_t n, std::int64_t k,
              Out* out, const float* bias) {
  constexpr std::int64_t kTurns = 8;  // of a thread
  const Task<In, Out> task{x, weight, m, n, k, out, bias};
  const std::int64_t pitch = round_up(k, kLanes), work = m * n * maximum(k, 1) / 4;
  const std::int64_t part = round_up(ceil_div(n, kTurns * thread_count()), kLanes);
  static thread_local Scratch scratch;
  parallel_for_dynamic(
      ceil_div(n, part), work, [&] { take_rows(task, pitch, scratch); },
      [&](std::int64_t i) {
        const float* rows = scratch.floats(round_up(m, kMostRows) * pitch);
        const std::int64_t end = minimum(n, (i + 1) * part);
        // A block's weights stay in a cache while all rows pass by.
        for (std::int64_t column = i * part; column < end; column += kLanes)
          for (std::int64_t first = 0; first < m; first += kMostRows)
            some_rows(task, rows, pitch, first, column, minimum(end, column + kLanes));
      });
}

}  // namespace

void fill_few_rows(KernelTable& table) {
  for_each_pair(table, [](auto& kernels) { kernels.few_rows = few_rows; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
