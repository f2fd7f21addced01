// Matrix products for CPUs on which oneDNN has no better one (gemm_wins in the table says so).
//
// The classic blocking (Goto & van de Geijn 2008): a block of b, kDepth deep, is packed into strips
// of kTileColumns columns that stay in the first-level cache while rows of a pass by; bf16 is
// widened on the way, so that it costs half the memory traffic and no pass of its own. Every
// element sums its products in the order of k, in runs of kDepth, whatever m, n and the number of
// threads: a row of the result does not depend on the rows beside it.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/tile_shape.h"
#include "runtime/kernels/cpu/isa/transpose.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

constexpr std::int64_t kTileColumns = kTileVectors * kLanes;
constexpr std::int64_t kDepth = 256;    // a strip of b: 16 KiB on AVX2
constexpr std::int64_t kRowBlock = 96;  // rows of a that stay in the second-level cache
constexpr std::int64_t kColumnBlock = 512;
constexpr std::int64_t kRuns = 8;

// ---- the tile

// out[r, :] = (before[r, :]) + Σ_k a(r, k)·b[k, :] (+ bias). a(r, k) is a[r·a_row + k·a_step]; b is
// one packed strip. `before` and `bias` may be null.
template <typename Out>
struct TileTask {
  std::int64_t depth;
  const float* a;
  std::int64_t a_row;
  const float* b;
  const float* before;
  std::int64_t before_row;
  const float* bias;
  Out* out;
  std::int64_t out_row;
};

template <typename Out, int kRows, int kAStep>
inline void tile_of(const TileTask<Out>& t) {
  F32 sums[kRows][kTileVectors] = {};
  const float* a = t.a;
  const float* b = t.b;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) __builtin_prefetch(t.out + r * t.out_row, 1);
  for (std::int64_t k = 0; k < t.depth; ++k) {
    F32 row[kTileVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F32 factor = broadcast(a[r * t.a_row]);
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) sums[r][v] += factor * row[v];
    }
    a += kAStep;
    b += kTileColumns;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) {
      F32 sum = sums[r][v];
      if (t.before != nullptr) sum += load(t.before + r * t.before_row + v * kLanes);
      if (t.bias != nullptr) sum += load(t.bias + v * kLanes);
      store(t.out + r * t.out_row + v * kLanes, sum);
    }
}

template <typename Out, int kAStep>
void tile(std::int64_t rows, const TileTask<Out>& task) {
  switch (rows) {
    case 1:
      return tile_of<Out, 1, kAStep>(task);
    case 2:
      return tile_of<Out, 2, kAStep>(task);
    case 3:
      return tile_of<Out, 3, kAStep>(task);
    case 4:
      return tile_of<Out, 4, kAStep>(task);
    case 5:
      return tile_of<Out, 5, kAStep>(task);
    default:
      return tile_of<Out, 6, kAStep>(task);
  }
}

template <typename T>
void copy_columns(const T* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns, T* out,
                  std::int64_t out_row) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) out[i * out_row + j] = in[i * in_row + j];
}

// A tile whose last columns do not exist: by way of a whole one.
template <typename Out, int kAStep>
void edge_tile(std::int64_t rows, std::int64_t columns, TileTask<Out> task) {
  Out whole[kTileRows * kTileColumns];
  float before[kTileRows * kTileColumns] = {}, bias[kTileColumns] = {};
  Out* out = task.out;
  const std::int64_t out_row = task.out_row;
  if (task.before != nullptr) {
    copy_columns(task.before, task.before_row, rows, columns, before, kTileColumns);
    task.before = before;
    task.before_row = kTileColumns;
  }
  if (task.bias != nullptr) {
    copy_columns(task.bias, 0, 1, columns, bias, 0);
    task.bias = bias;
  }
  task.out = whole;
  task.out_row = kTileColumns;
  tile<Out, kAStep>(rows, task);
  copy_columns(static_cast<const Out*>(whole), kTileColumns, rows, columns, out, out_row);
}

// ---- packing

// A stored matrix: element (i, j) is data[i·row + j], or data[j·row + i] when transposed.
template <typename T>
struct Stored {
  const T* data;
  std::int64_t row;
  bool transposed;
  const T* at(std::int64_t i, std::int64_t j) const {
    return transposed ? data + j * row + i : data + i * row + j;
  }
};

// kLanes columns [column, …) of a transposed b over the depth: rows of its storage, transposed
// square by square.
template <typename T>
void pack_transposed_columns(const T* in, std::int64_t row, std::int64_t columns,
                             std::int64_t depth, float* out) {
  for (std::int64_t k = 0; k < depth; k += kLanes) {
    F32 square[kLanes];
    if (columns >= kLanes && k + kLanes <= depth) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) square[i] = load(in + i * row + k);
    } else {
      for (int i = 0; i < kLanes; ++i)
        square[i] = i < columns ? load(in + i * row + k, depth - k) : F32{};
    }
    transpose_square(square);
    const std::int64_t count = minimum(kLanes, depth - k);
    if (count == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(out + (k + i) * kTileColumns, square[i]);
    } else {
      for (int i = 0; i < count; ++i) store(out + (k + i) * kTileColumns, square[i]);
    }
  }
}

// One strip: out[k, column] for kTileColumns columns from `column`, zero beyond `columns`.
template <typename T>
void pack_strip(const Stored<T>& b, std::int64_t first_k, std::int64_t depth, std::int64_t column,
                std::int64_t columns, float* out) {
  if (b.transposed) {
    for (int v = 0; v < kTileVectors; ++v)
      pack_transposed_columns(b.at(first_k, column + v * kLanes), b.row, columns - v * kLanes,
                              depth, out + v * kLanes);
    return;
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    const T* in = b.at(first_k + k, column);
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v)
      store(out + k * kTileColumns + v * kLanes,
            columns > v * kLanes ? load(in + v * kLanes, columns - v * kLanes) : F32{});
  }
}

// Rows of an untransposed a, widened: [rows, kDepth].
template <typename T>
void widen_rows(const T* in, std::int64_t row, std::int64_t rows, std::int64_t depth, float* out) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t k = 0; k < depth; k += kLanes)
      store(out + i * kDepth + k, load(in + i * row + k, depth - k), depth - k);
}

// A transposed a into strips of kTileRows rows: [strip][kDepth, kTileRows], kStripPitch apart. A
// store of a whole vector reaches beyond its row of the strip into the next, which is written
// later, or into the gap between strips.
constexpr std::int64_t kStripPitch = kTileRows * kDepth + kLanes;
constexpr std::int64_t kStripGroup = 8;  // strips filled side by side: their source is whole lines

template <typename T>
void pack_strip_group(const T* in, std::int64_t row, std::int64_t depth, float* out) {
  for (std::int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 8
    for (std::int64_t strip = 0; strip < kStripGroup; ++strip)
      store(out + strip * kStripPitch + k * kTileRows, load(in + strip * kTileRows));
    in += row;
  }
}

// The last rows, of which there are fewer than vectors would read.
template <typename T>
void pack_last_strips(const T* in, std::int64_t row, std::int64_t rows, std::int64_t depth,
                      float* out) {
  for (std::int64_t k = 0; k < depth; ++k)
    for (std::int64_t i = 0; i < rows; ++i)
      out[i / kTileRows * kStripPitch + k * kTileRows + i % kTileRows] = to_float(in[k * row + i]);
}

// `readable`: rows that exist, of which the first `rows` are wanted.
template <typename T>
void pack_rows_of_transposed(const T* in, std::int64_t row, std::int64_t rows,
                             std::int64_t readable, std::int64_t depth, float* out) {
  constexpr std::int64_t kGroup = kStripGroup * kTileRows;
  std::int64_t i = 0;
  if constexpr (kLanes >= kTileRows) {
    for (; i + kGroup <= rows && i + kGroup - kTileRows + kLanes <= readable; i += kGroup)
      pack_strip_group(in + i, row, depth, out + i / kTileRows * kStripPitch);
  }
  for (; i < rows; i += kTileRows)
    pack_last_strips(in + i, row, minimum(kTileRows, rows - i), depth,
                     out + i / kTileRows * kStripPitch);
}

// ---- one thread's share

template <typename T, typename Out>
struct Product {
  Stored<T> a, b;
  std::int64_t k;
  Out* out;
  std::int64_t out_row;
  bool accumulate;
  const float* bias;
};

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

template <typename T, typename Out>
class Share {
 public:
  Share(const Product<T, Out>& product, Range rows, Range columns)
      : p_(product), rows_(rows), columns_(columns) {}

  void run() {
    static thread_local Scratch scratch;
    const std::int64_t width = minimum(kColumnBlock, round_up(columns_.size(), kTileColumns));
    // bf16 results of several runs along k are summed in fp32 aside.
    const bool aside = sizeof(Out) == 2 && (p_.k > kDepth || p_.accumulate);
    const std::int64_t a_size = ceil_div(kRowBlock, kTileRows) * kStripPitch;
    const std::int64_t b_size =
        width * kDepth * minimum(runs_together(), maximum(1, ceil_div(p_.k, kDepth)));
    b_ = scratch.floats(b_size + a_size + (aside ? rows_.size() * width : 0));
    a_ = b_ + b_size;
    sums_ = aside ? a_ + a_size : nullptr;
    for (std::int64_t j = columns_.begin; j < columns_.end; j += kColumnBlock)
      column_block({j, minimum(columns_.end, j + kColumnBlock)});
  }

 private:
  void column_block(Range columns) {
    sums_row_ = columns.size();
    if (sums_ != nullptr && p_.accumulate) read_sums(columns);
    const std::int64_t runs = maximum(1, ceil_div(p_.k, kDepth));
    const auto begin_of = [&](std::int64_t run) { return p_.k * run / runs; };
    for (std::int64_t first = 0; first < runs; first += runs_together()) {
      const std::int64_t last = minimum(runs, first + runs_together());
      for (std::int64_t run = first; run < last; ++run) {
        const std::int64_t k = begin_of(run), depth = begin_of(run + 1) - k;
        for (std::int64_t j = columns.begin; j < columns.end; j += kTileColumns)
          pack_strip(p_.b, k, depth, j, columns.end - j,
                     b_of(run - first, columns) + (j - columns.begin) * kDepth);
      }
      for (std::int64_t i = rows_.begin; i < rows_.end; i += kRowBlock)
        for (std::int64_t run = first; run < last; ++run) {
          const std::int64_t k = begin_of(run), depth = begin_of(run + 1) - k;
          run_b_ = b_of(run - first, columns);
          row_block({i, minimum(rows_.end, i + kRowBlock)}, columns, k, depth);
        }
    }
  }
  std::int64_t runs_together() const {
    return p_.a.transposed || rows_.size() <= 4 * kRowBlock ? 1 : kRuns;
  }
  float* b_of(std::int64_t run, Range columns) {
    return b_ + run * round_up(columns.size(), kTileColumns) * kDepth;
  }

  void read_sums(Range columns) {
    for (std::int64_t i = rows_.begin; i < rows_.end; ++i)
      for (std::int64_t j = 0; j < columns.size(); ++j)
        sums_[(i - rows_.begin) * sums_row_ + j] =
            to_float(p_.out[i * p_.out_row + columns.begin + j]);
  }

  void row_block(Range rows, Range columns, std::int64_t k, std::int64_t depth) {
    if (p_.a.transposed)
      pack_rows_of_transposed(p_.a.at(rows.begin, k), p_.a.row, rows.size(), p_.a.row - rows.begin,
                              depth, a_);
    else if (sizeof(T) == 2)
      widen_rows(p_.a.at(rows.begin, k), p_.a.row, rows.size(), depth, a_);
    for (std::int64_t j = columns.begin; j < columns.end; j += kTileColumns)
      for (std::int64_t i = 0; i < rows.size();) {
        // Even tiles: 8 rows are 4 + 4.
        const std::int64_t left = rows.size() - i;
        const std::int64_t count =
            p_.a.transposed ? minimum(kTileRows, left) : ceil_div(left, ceil_div(left, kTileRows));
        one_tile({rows.begin + i, rows.begin + i + count}, i,
                 {j, minimum(columns.end, j + kTileColumns)}, columns, k, depth);
        i += count;
      }
  }

  void one_tile(Range rows, std::int64_t block_row, Range tile_columns, Range columns,
                std::int64_t k, std::int64_t depth) {
    const bool first = k == 0, last = k + depth >= p_.k;
    const std::int64_t column = tile_columns.begin - columns.begin;
    const float* b = run_b_ + column * kDepth;
    const float* bias = last && p_.bias != nullptr ? p_.bias + tile_columns.begin : nullptr;
    Out* out = p_.out + rows.begin * p_.out_row + tile_columns.begin;
    const bool add = !first || p_.accumulate;
    float* sums;
    std::int64_t sums_row;
    if constexpr (sizeof(Out) == 4) {
      sums = out;
      sums_row = p_.out_row;
    } else {
      sums = sums_ + (rows.begin - rows_.begin) * sums_row_ + column;
      sums_row = sums_row_;
    }
    const float* before = add ? sums : nullptr;
    if (last)
      dispatch(rows, block_row, tile_columns.size(), k,
               TileTask<Out>{depth, nullptr, 0, b, before, sums_row, bias, out, p_.out_row});
    else
      dispatch(rows, block_row, tile_columns.size(), k,
               TileTask<float>{depth, nullptr, 0, b, before, sums_row, nullptr, sums, sums_row});
  }

  template <typename To>
  void dispatch(Range rows, std::int64_t block_row, std::int64_t columns, std::int64_t k,
                TileTask<To> task) {
    if (p_.a.transposed) {
      task.a = a_ + block_row / kTileRows * kStripPitch;
      task.a_row = 1;
      columns == kTileColumns ? tile<To, kTileRows>(rows.size(), task)
                              : edge_tile<To, kTileRows>(rows.size(), columns, task);
      return;
    }
    if constexpr (sizeof(T) == 4) {
      task.a = p_.a.at(rows.begin, k);
      task.a_row = p_.a.row;
    } else {
      task.a = a_ + block_row * kDepth;
      task.a_row = kDepth;
    }
    columns == kTileColumns ? tile<To, 1>(rows.size(), task)
                            : edge_tile<To, 1>(rows.size(), columns, task);
  }

  const Product<T, Out>& p_;
  Range rows_, columns_;
  float *a_ = nullptr, *b_ = nullptr, *sums_ = nullptr, *run_b_ = nullptr;
  std::int64_t sums_row_ = 0;
};

// ---- all threads

// Cuts `size` into `parts` of whole multiples of `step`.
inline Range part(std::int64_t size, std::int64_t step, std::int64_t parts, std::int64_t index) {
  const std::int64_t steps = ceil_div(size, step);
  return {minimum(size, steps * index / parts * step),
          minimum(size, steps * (index + 1) / parts * step)};
}

template <typename In, typename Out>
void gemm(const In* a, bool transpose_a, const In* b, bool transpose_b, std::int64_t m,
          std::int64_t n, std::int64_t k, Out* out, std::int64_t out_row, bool accumulate,
          const float* bias) {
  const Product<In, Out> product{{a, transpose_a ? m : k, transpose_a},
                                 {b, transpose_b ? k : n, transpose_b},
                                 k,
                                 out,
                                 out_row,
                                 accumulate,
                                 bias};
  const std::int64_t work = m * n * maximum(k, 1) / 4;
  const std::int64_t threads = work < kSerialWork ? 1 : thread_count();
  // The grid that packs least: every column of it packs all of a, every row of it all of b.
  std::int64_t best_rows = 1, best = -1;
  for (std::int64_t down = 1; down <= threads; ++down) {
    if (threads % down != 0) continue;
    const std::int64_t cost = down * n + threads / down * m;
    if (best < 0 || cost < best) best = cost, best_rows = down;
  }
  const std::int64_t best_columns = threads / best_rows;
  parallel_for(threads, work, [&](std::int64_t i) {
    Share<In, Out>(product, part(m, kTileRows, best_rows, i / best_columns),
                   part(n, kTileColumns, best_columns, i % best_columns))
        .run();
  });
}

}  // namespace

void fill_gemm(KernelTable& table) {
  table.gemm_wins = kLanes <= 8;
  for_each_pair(table, [](auto& kernels) { kernels.gemm = gemm; });
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
