// What the attention kernels share. A block of 256 threads is a 16 x 16 square over a tile of
// queries x keys or of rows x columns; thread (y, x) owns every 16th row from y and every 16th
// column from x. Tiles lie in shared memory as fp32, rows one element apart in banks.
#pragma once

#include "runtime/kernels/cuda/block.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.h"

namespace tandem::runtime::cuda {

constexpr int kSide = 16;
constexpr unsigned kAttentionBlock = kSide * kSide;

__device__ inline int square_row() {
  return static_cast<int>(threadIdx.x) / kSide;
}
__device__ inline int square_column() {
  return static_cast<int>(threadIdx.x) % kSide;
}

// Query i of a sequence sees keys up to i + shift: the last query sees the last key.
struct Visibility {
  std::int64_t shift, q_count, k_count;
  AttentionMask mask;

  __device__ Visibility(const AttentionTile& tile, AttentionMask mask)
      : shift(static_cast<std::int64_t>(tile.k_count) - tile.q_count),
        q_count(tile.q_count),
        k_count(tile.k_count),
        mask(mask) {}
  __device__ bool sees(std::int64_t query, std::int64_t key) const {
    return (!mask.causal || key <= query + shift) &&
           (mask.window == 0 || key > query + shift - mask.window);
  }
  // Keys that any of the queries [first, first + count) sees.
  __device__ std::int64_t first_key(std::int64_t first) const {
    return mask.window == 0 ? 0 : greatest<std::int64_t>(0, first + shift - mask.window + 1);
  }
  __device__ std::int64_t end_key(std::int64_t first, std::int64_t count) const {
    return mask.causal ? least(k_count, first + count + shift) : k_count;
  }
  // Queries that see any of the keys [first, first + count).
  __device__ std::int64_t first_query(std::int64_t first) const {
    return mask.causal ? greatest<std::int64_t>(0, first - shift) : 0;
  }
  __device__ std::int64_t end_query(std::int64_t first, std::int64_t count) const {
    return mask.window == 0 ? q_count : least(q_count, first + count - 1 - shift + mask.window);
  }
};

// Where a bias [distances, heads] keeps the distance query − key of one head.
__device__ inline std::int64_t bias_index(const AttentionBias& bias, std::int64_t head,
                                          std::int64_t distance) {
  return (bias.zero + distance) * bias.heads + head;
}
__device__ inline float bias_of(const AttentionBias& bias, std::int64_t head,
                                std::int64_t distance) {
  return bias.values == nullptr ? 0.0f : bias.values[bias_index(bias, head, distance)];
}

// Host: every row of every head starts at a multiple of 16 bytes.
template <typename T>
bool aligned_heads(const HeadRows<T>& heads) {
  return aligned_rows(heads.head_dim, heads.data) && heads.stride % kPack == 0;
}

// Rows [first, first + count) of one head into to[kTile][head_dim + 1]; zeros below.
template <int kTile, typename T>
__device__ inline void load_tile(const HeadRows<const T>& in, std::int64_t head, std::int64_t first,
                                 std::int64_t count, bool aligned, float* to) {
  const int width = static_cast<int>(in.head_dim), packs = (width + kPack - 1) / kPack;
  for (int i = static_cast<int>(threadIdx.x); i < kTile * packs; i += kAttentionBlock) {
    const int row = i / packs, column = i % packs * kPack;
    Pack x = {};
    if (row < count)
      x = load(in.data + (first + row) * in.stride + head * width + column, width - column,
               aligned);
#pragma unroll
    for (int k = 0; k < kPack; ++k)
      if (column + k < width) to[row * (width + 1) + column + k] = x.v[k];
  }
}

// result[r][c] = a[row r] · b[row c] over `width` columns, for this thread's rows of both tiles.
template <int kTile>
__device__ inline void multiply_rows(const float* a, const float* b, int width,
                                     float (&result)[kTile / kSide][kTile / kSide]) {
  constexpr int kOwn = kTile / kSide;
  const int stride = width + 1;
  a += square_row() * stride;
  b += square_column() * stride;
#pragma unroll
  for (int r = 0; r < kOwn; ++r)
#pragma unroll
    for (int c = 0; c < kOwn; ++c) result[r][c] = 0.0f;
  for (int e = 0; e < width; ++e)
#pragma unroll
    for (int r = 0; r < kOwn; ++r)
#pragma unroll
      for (int c = 0; c < kOwn; ++c)
        result[r][c] += a[r * kSide * stride + e] * b[c * kSide * stride + e];
}

// result[r][c] += Σ_j weights(row r, j) · values[j][column c], where weights is
// [kTile][kTile + 1], read along its columns when `kTransposed`.
template <int kTile, int kColumns, bool kTransposed>
__device__ inline void add_product(const float* weights, const float* values, int width,
                                   float (&result)[kTile / kSide][kColumns]) {
  constexpr int kOwn = kTile / kSide;
  const int y = square_row(), x = square_column();
  for (int j = 0; j < kTile; ++j)
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
      const int row = y + r * kSide;
      const float weight =
          kTransposed ? weights[j * (kTile + 1) + row] : weights[row * (kTile + 1) + j];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int column = x + c * kSide;
        if (column < width) result[r][c] += weight * values[j * (width + 1) + column];
      }
    }
}

// Rows [first, first + count) of one head; factor(r) multiplies this thread's row r.
template <int kTile, int kColumns, typename T, typename Factor>
__device__ inline void store_rows(const float (&values)[kTile / kSide][kColumns],
                                  const HeadRows<T>& out, std::int64_t head, std::int64_t first,
                                  std::int64_t count, const Factor& factor) {
#pragma unroll
  for (int r = 0; r < kTile / kSide; ++r) {
    const std::int64_t row = square_row() + r * kSide;
    if (row >= count) continue;
    T* to = out.data + (first + row) * out.stride + head * out.head_dim;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int column = square_column() + c * kSide;
      if (column < out.head_dim) assign(to[column], values[r][c] * factor(r));
    }
  }
}

// Host: body(tile rows, columns a thread owns) as compile-time numbers for a head size.
template <int kValue>
struct Number {
  static constexpr int value = kValue;
};
template <typename Body>
void by_head_dim(std::int64_t head_dim, const Body& body) {
  if (head_dim <= 64)
    body(Number<attention_tile(64)>{}, Number<64 / kSide>{});
  else if (head_dim <= 128)
    body(Number<attention_tile(128)>{}, Number<128 / kSide>{});
  else
    body(Number<attention_tile(kMaxHeadDim)>{}, Number<kMaxHeadDim / kSide>{});
}

// Bytes of `rows` tiles of rows and `squares` tiles of scores.
constexpr std::size_t attention_shared(int tile, std::int64_t head_dim, int rows, int squares) {
  return sizeof(float) * static_cast<std::size_t>(tile) *
         static_cast<std::size_t>(rows * (head_dim + 1) + squares * (tile + 1));
}

}  // namespace tandem::runtime::cuda
