// Whole rows moved or added by index.
#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;

template <typename In, typename Out>
__global__ void __launch_bounds__(kBlock)
    gather_kernel(const In* in, const std::int32_t* rows, std::int64_t first_row,
                  std::int64_t in_rows, std::int64_t n, std::int64_t width, Out* out,
                  bool aligned) {
  const std::int64_t packs = (width + kPack - 1) / kPack, thread = global_thread();
  const std::int64_t i = thread / packs, column = thread % packs * kPack, count = width - column;
  if (i >= n) return;
  const std::int64_t row = rows[i] - first_row;
  Pack x = {};
  if (row >= 0 && row < in_rows) x = load(in + row * width + column, count, aligned);
  store(out + i * width + column, x, count, aligned);
}

template <typename In, typename Out>
void gather(const In* in, const std::int32_t* rows, std::int64_t first_row, std::int64_t in_rows,
            std::int64_t n, std::int64_t width, Out* out, cudaStream_t stream) {
  launch(gather_kernel<In, Out>, grid_for(n * ceil_div(width, kPack), kBlock), kBlock, 0, stream,
         in, rows, first_row, in_rows, n, width, out, aligned_rows(width, in, out));
}

// A block per entry of `rows` and 1024 columns. The first entry of each row adds up all of them, in
// order, so that no two blocks write to one place and the order of additions is that of the list.
// Searching costs n²/2 comparisons for each 1024 columns, small beside the products of a step up to
// some 100,000 tokens.
constexpr int kSearchBlock = 128;
constexpr int kSearchEach = 8;
constexpr int kSearch = kSearchBlock * kSearchEach;

// Whether any of the entries [begin, begin + kSearch) has this row.
__device__ inline bool any_in(const std::int32_t* rows, std::int64_t begin, std::int64_t n,
                              std::int32_t row) {
  int found = 0;
  for (int each = 0; each < kSearchEach; ++each) {
    const std::int64_t j = begin + each * kSearchBlock + threadIdx.x;
    if (j < n && rows[j] == row) found = 1;
  }
  return __syncthreads_or(found) != 0;
}

// Whether an entry before i has the same row. Most do within the last few hundred.
__device__ inline bool seen_before(const std::int32_t* rows, std::int64_t i) {
  const std::int32_t row = rows[i];
  for (std::int64_t end = i; end > 0; end -= kSearch)
    if (any_in(rows, end > kSearch ? end - kSearch : 0, end, row)) return true;
  return false;
}

// Entries [begin, begin + kSearchBlock) with this row, in order, into `matches`; their number.
__device__ inline int matching(const std::int32_t* rows, std::int64_t begin, std::int64_t n,
                               std::int32_t row, int* matches) {
  __shared__ int counts[kSearchBlock / 32];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const std::int64_t j = begin + threadIdx.x;
  const bool match = j < n && rows[j] == row;
  const unsigned vote = __ballot_sync(kAllLanes, match);
  if (lane == 0) counts[warp] = __popc(vote);
  __syncthreads();
  int before = 0, total = 0;
  for (unsigned w = 0; w < kSearchBlock / 32; ++w) {
    if (w < warp) before += counts[w];
    total += counts[w];
  }
  if (match) matches[before + __popc(vote & ((1u << lane) - 1))] = static_cast<int>(threadIdx.x);
  __syncthreads();
  return total;
}

// Adds up the matches' columns from `x` on, in registers, so that reads need not wait for each
// other; what 16 bits hold is rounded after every addition. kWhole: packs can be read as such.
template <typename Out, bool kWhole, typename T>
__device__ inline void add_matches(const T* x, std::int64_t width, const int* matches, int count,
                                   std::int64_t columns, Pack& sum) {
#pragma unroll 4
  for (int match = 0; match < count; ++match) {
    const T* from = x + matches[match] * width;
    const Pack addend = kWhole ? load_whole(from) : load(from, columns, false);
#pragma unroll
    for (int k = 0; k < kPack; ++k) sum.v[k] = rounded<Out>(sum.v[k] + addend.v[k]);
  }
}

// A pack of columns per thread.
template <typename T, typename Out>
__global__ void __launch_bounds__(kSearchBlock)
    scatter_add_kernel(const T* x, const std::int32_t* rows, std::int64_t first_row, std::int64_t n,
                       std::int64_t out_rows, std::int64_t width, Out* out, bool aligned) {
  __shared__ int matches[kSearchBlock];
  const std::int64_t i = blockIdx.x;
  const std::int64_t row = rows[i] - first_row;
  if (row < 0 || row >= out_rows || seen_before(rows, i)) return;
  const std::int64_t column =
      (static_cast<std::int64_t>(blockIdx.y) * kSearchBlock + threadIdx.x) * kPack;
  const std::int64_t columns = greatest<std::int64_t>(0, width - column);
  Out* to = out + row * width + column;
  Pack sum = load(to, columns, aligned);
  for (std::int64_t begin = i; begin < n; begin += kSearchBlock) {
    if ((begin - i) % kSearch == 0 && !any_in(rows, begin, n, rows[i])) {
      begin += kSearch - kSearchBlock;
      continue;
    }
    const int count = matching(rows, begin, n, rows[i], matches);
    const T* from = x + begin * width + column;
    if (aligned && columns >= kPack)
      add_matches<Out, true>(from, width, matches, count, columns, sum);
    else
      add_matches<Out, false>(from, width, matches, count, columns, sum);
  }  // the next search has a barrier before it writes matches
  store(to, sum, columns, aligned);
}

template <typename T, typename Out>
void scatter_add(const T* x, const std::int32_t* rows, std::int64_t first_row, std::int64_t n,
                 std::int64_t out_rows, std::int64_t width, Out* out, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(n),
                  static_cast<unsigned>(ceil_div(width, kSearchBlock * kPack)));
  launch(scatter_add_kernel<T, Out>, grid, kSearchBlock, 0, stream, x, rows, first_row, n, out_rows,
         width, out, aligned_rows(width, x, out));
}

__global__ void __launch_bounds__(kBlock)
    concat_columns_kernel(const float* parts, std::int64_t n, std::int64_t width,
                          std::int64_t columns, float* out) {
  const std::int64_t thread = global_thread(), i = thread / columns, j = thread % columns;
  if (i < n) out[thread] = parts[(j / width * n + i) * width + j % width];
}

void concat_columns(const float* parts, std::int64_t n, std::int64_t width, std::int64_t columns,
                    float* out, cudaStream_t stream) {
  launch(concat_columns_kernel, grid_for(n * columns, kBlock), kBlock, 0, stream, parts, n, width,
         columns, out);
}

template void gather(const float*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t,
                     std::int64_t, float*, cudaStream_t);
template void gather(const float*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t,
                     std::int64_t, Bf16*, cudaStream_t);
template void gather(const float*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t,
                     std::int64_t, Fp16*, cudaStream_t);
template void gather(const Bf16*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t,
                     std::int64_t, float*, cudaStream_t);
template void gather(const Fp16*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t,
                     std::int64_t, float*, cudaStream_t);
template void gather(const Bf16*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t,
                     std::int64_t, Bf16*, cudaStream_t);
template void gather(const Fp16*, const std::int32_t*, std::int64_t, std::int64_t, std::int64_t,
                     std::int64_t, Fp16*, cudaStream_t);
template void scatter_add(const float*, const std::int32_t*, std::int64_t, std::int64_t,
                          std::int64_t, std::int64_t, float*, cudaStream_t);
template void scatter_add(const Bf16*, const std::int32_t*, std::int64_t, std::int64_t,
                          std::int64_t, std::int64_t, float*, cudaStream_t);
template void scatter_add(const Fp16*, const std::int32_t*, std::int64_t, std::int64_t,
                          std::int64_t, std::int64_t, float*, cudaStream_t);
template void scatter_add(const Bf16*, const std::int32_t*, std::int64_t, std::int64_t,
                          std::int64_t, std::int64_t, Bf16*, cudaStream_t);
template void scatter_add(const Fp16*, const std::int32_t*, std::int64_t, std::int64_t,
                          std::int64_t, std::int64_t, Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
