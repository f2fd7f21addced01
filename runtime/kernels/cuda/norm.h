// What the two normalisations share. Forward a block has one row. Backward a row is that of a team
// of threads, each of which owns the same eight columns of all rows of its team: it keeps what it
// adds to the parameters' gradients in registers. A team is some lanes of a warp where the row is
// narrow (heads of a query), and the block has several, else the whole block.
#pragma once

#include <algorithm>
#include <bit>

#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr unsigned kNormBlock = 512;
constexpr unsigned kTeamsBlock = 256;  // backward, of blocks with several teams

// h = x + residual as stored; returns x's pack when there is no residual.
template <typename T>
__device__ inline Pack add_residual(const T* x, const T* residual, T* h, std::int64_t count,
                                    bool aligned) {
  Pack v = load(x, count, aligned);
  if (residual == nullptr) return v;
  const Pack r = load(residual, count, aligned);
#pragma unroll
  for (int j = 0; j < kPack; ++j) v.v[j] = rounded<T>(v.v[j] + r.v[j]);
  store(h, v, count, aligned);
  return v;
}

// Rows [n, width] and how the backward kernels divide them.
struct NormRows {
  std::int64_t n, width, rows_per_block;
  unsigned lanes;  // of a team: the block's threads, or a power of 2 up to 32
  int teams;       // of a block

  // Rows of this block.
  __device__ std::int64_t begin() const { return blockIdx.x * rows_per_block; }
  __device__ int count() const { return static_cast<int>(least(n - begin(), rows_per_block)); }
  __device__ int team() const { return static_cast<int>(threadIdx.x / lanes); }
  // The first of this thread's columns, and how many of a pack's are in the row.
  __device__ unsigned column() const { return threadIdx.x % lanes * kPack; }
  __device__ int columns() const {
    return static_cast<int>(
        greatest<std::int64_t>(0, least<std::int64_t>(kPack, width - column())));
  }
};

// What a thread reads of one row, which is requested before any of it is used: rows come from far.
// dh_in may be null. Of rows that are not there, and beyond a row's end, everything is 0.
template <typename T, bool kAligned>
struct NormBackwardRow {
  bool live;
  std::int64_t i, at;  // the row, and this thread's first element
  int count;           // of this thread's elements
  Words<T> h, dy, dh_in;

  // The team's row in the round that begins with the block's `first`.
  __device__ NormBackwardRow(const NormRows& rows, int first, const T* h_rows, const T* dy_rows,
                             const T* dh_rows)
      : live(first + rows.team() < rows.count()),
        i(rows.begin() + first + rows.team()),
        at(i * rows.width + rows.column()),
        count(live ? rows.columns() : 0),
        h(load_words<kAligned>(h_rows + at, count)),
        dy(load_words<kAligned>(dy_rows + at, count)),
        dh_in(load_words<kAligned>(dh_rows + at, dh_rows == nullptr ? 0 : count)) {}
};

// Σ over the threads of a team, the same bits in each of them; all threads of the block call.
// Buffers in turn: with one barrier in a call, a thread may be one call ahead of another, not two.
template <int kCount>
struct TeamSums {
  unsigned lanes;
  unsigned turn = 0;

  __device__ void operator()(float (&values)[kCount]) {
    if (lanes <= 32) {
      for (unsigned distance = lanes / 2; distance > 0; distance /= 2)
#pragma unroll
        for (float& value : values) value += __shfl_xor_sync(kAllLanes, value, distance);
      return;
    }
    __shared__ float partial[2][kCount][32];
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      values[i] = warp_reduce<Sum>(values[i]);
      if (lane == 0) partial[turn][i][warp] = values[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] = warp_reduce<Sum>(lane < warps ? partial[turn][i][lane] : 0.0f);
    turn ^= 1;
  }
};

// target[j] = the block's sum of column j: `sums` are those of this thread's columns over the rows
// of its team. Teams are added in order, in shared memory.
template <bool kAligned>
__device__ inline void store_sums(const NormRows& rows, const Pack& sums, float* target) {
  if (rows.teams == 1) return store<kAligned>(target + rows.column(), sums, rows.columns());
  auto* of_teams = dynamic_shared<float>();  // [teams, lanes · kPack]
  __syncthreads();
  store_whole(of_teams + threadIdx.x * kPack, sums);
  __syncthreads();
  for (unsigned j = threadIdx.x; j < rows.width; j += blockDim.x) {
    float sum = 0.0f;
    for (unsigned i = j; i < blockDim.x * kPack; i += rows.lanes * kPack) sum += of_teams[i];
    target[j] = sum;
  }
}

struct NormBackwardLaunch {
  NormRows rows;
  dim3 grid;
  unsigned block;
  std::size_t shared;
  bool wide;  // rows for which a block has too few threads
};
// Blocks enough to fill a card several times over, and few enough that their partial sums stay
// small beside the rows: 2^18 packs at most. The numbers are not those of a card: all cards give
// the same bits. `most_threads`: in a block.
inline NormBackwardLaunch norm_backward_launch(std::int64_t n, std::int64_t width,
                                               unsigned most_threads) {
  const std::int64_t packs = ceil_div(width, kPack);
  const bool in_warp = packs <= 32;
  const unsigned block = in_warp ? kTeamsBlock : threads_for(width, kPack, most_threads),
                 lanes = in_warp ? std::bit_ceil(static_cast<unsigned>(packs)) : block,
                 teams = block / lanes;
  const std::int64_t most_blocks = ceil_div(1 << 18, std::max<std::int64_t>(packs, 256));
  const std::int64_t team_rows =
      std::max<std::int64_t>(ceil_div(n, most_blocks * teams), in_warp ? 2 : 8);
  const std::int64_t rows = team_rows * teams;
  return {{n, width, rows, lanes, static_cast<int>(teams)},
          dim3(static_cast<unsigned>(ceil_div(n, rows))),
          block,
          in_warp ? block * kPack * sizeof(float) : 0,
          packs > most_threads};
}

}  // namespace tandem::runtime::cuda
