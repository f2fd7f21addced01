// Gradient of flash attention (Dao 2023, algorithm 2). With P = exp(scale·S − lse):
//   dV = Pᵀ·dO,   dP = dO·Vᵀ,   dS = P ∘ (dP − D),  D = rowsum(dO ∘ O),   dQ = scale·dS·K,   dK =
//   scale·dSᵀ·Q.
// One kernel walks over keys for a tile of queries (dQ), another over queries for a tile of keys
// (dK, dV): scores are computed twice, and every sum has one order without atomics.
#include "runtime/kernels/cuda/attention.h"

namespace tandem::runtime::cuda {

constexpr unsigned kDeltaBlock = 256;

// A warp per query and head.
template <typename T>
__global__ void attention_delta_kernel(const T* out, const T* dout, std::int64_t queries,
                                       std::int64_t heads, std::int64_t head_dim, float* delta) {
  const std::int64_t warp = global_thread() / 32, lane = threadIdx.x % 32;
  if (warp >= queries * heads) return;
  float sum = 0.0f;
  for (std::int64_t e = lane; e < head_dim; e += 32)
    sum += to_float(out[warp * head_dim + e]) * to_float(dout[warp * head_dim + e]);
  sum = warp_reduce<Sum>(sum);
  if (lane == 0) delta[warp % heads * queries + warp / heads] = sum;
}

// P and dS of one tile pair into shared memory, queries by keys.
template <int kTile, typename T>
__device__ inline void weigh(const AttentionInputs<T>& in, const AttentionTile& tile,
                             std::int64_t head, const float* lse, const float* delta,
                             std::int64_t first_query, std::int64_t query_count,
                             std::int64_t first_key, std::int64_t key_count, const float* queries,
                             const float* keys, const float* values, const float* douts,
                             float* weights, float* dscores) {
  constexpr int kOwn = kTile / kSide;
  const Visibility visible(tile, in.mask);
  float scores[kOwn][kOwn], dweights[kOwn][kOwn];
  multiply_rows<kTile>(queries, keys, static_cast<int>(in.q.head_dim), scores);
  multiply_rows<kTile>(douts, values, static_cast<int>(in.q.head_dim), dweights);
#pragma unroll
  for (int r = 0; r < kOwn; ++r) {
    const int row = square_row() + r * kSide;
    const float row_lse = row < query_count ? lse[first_query + row] : 0.0f;
    const float row_delta = row < query_count ? delta[first_query + row] : 0.0f;
#pragma unroll
    for (int c = 0; c < kOwn; ++c) {
      const int column = square_column() + c * kSide;
      const bool sees = row < query_count && column < key_count &&
                        visible.sees(first_query + row, first_key + column);
      float p = 0.0f;
      if (sees) {
        const std::int64_t distance = first_query + row + visible.shift - first_key - column;
        p = expf(scores[r][c] * in.scale + bias_of(in.bias, head, distance) - row_lse);
      }
      const int at = row * (kTile + 1) + column;
      if (weights != nullptr) weights[at] = p;
      dscores[at] = p * (dweights[r][c] - row_delta);
    }
  }
}

// Adds the diagonals of dS, on each of which the distance is the same, to this block's sums of a
// bias's gradient. A diagonal belongs to one thread.
template <int kTile>
__device__ inline void add_diagonals(const float* dscores, const AttentionBias& bias,
                                     std::int64_t head, std::int64_t first_distance,
                                     std::int64_t query_count, std::int64_t key_count,
                                     float* sums) {
  const auto t = static_cast<std::int64_t>(threadIdx.x);
  if (t >= query_count + key_count - 1) return;
  const std::int64_t offset = t - (key_count - 1);  // query row − key column
  float sum = 0.0f;
  for (std::int64_t row = greatest<std::int64_t>(0, offset);
       row < least(query_count, key_count + offset); ++row)
    sum += dscores[row * (kTile + 1) + row - offset];
  const std::int64_t distance = first_distance + offset;
  // What nobody sees may lie outside the table.
  if (bias.zero + distance >= 0 && bias.zero + distance < bias.distances)
    sums[bias_index(bias, head, distance)] += sum;
}

template <typename T>
__device__ inline HeadRows<const T> rows_of(const T* data, const HeadRows<const T>& like) {
  return {data, like.heads * like.head_dim, like.heads, like.head_dim};
}

template <typename T, int kTile, int kColumns>
__global__ void attention_backward_query_kernel(AttentionInputs<T> in,
                                                AttentionGradients<T> gradients,
                                                const AttentionTile* tiles, bool aligned) {
  constexpr int kOwn = kTile / kSide;
  const AttentionTile tile = tiles[blockIdx.x];
  const std::int64_t head = blockIdx.y, kv_head = head / (in.q.heads / in.k.heads);
  const int width = static_cast<int>(in.q.head_dim);
  const Visibility visible(tile, in.mask);
  const std::int64_t count = least<std::int64_t>(kTile, tile.q_count - tile.first);
  const std::int64_t q_row = static_cast<std::int64_t>(tile.q_begin) + tile.first;
  const std::int64_t statistics = head * in.queries + tile.q_begin;

  const int rows = kTile * (width + 1);
  auto* queries = dynamic_shared<float>();
  float *douts = queries + rows, *keys = douts + rows, *values = keys + rows,
        *dscores = values + rows;
  load_tile<kTile>(in.q, head, q_row, count, aligned, queries);
  load_tile<kTile>(rows_of(gradients.dout, in.q), head, q_row, count, aligned, douts);

  float dq[kOwn][kColumns] = {};
  const std::int64_t end = visible.end_key(tile.first, count);
  for (std::int64_t first = visible.first_key(tile.first); first < end; first += kTile) {
    const std::int64_t key_count = least<std::int64_t>(kTile, tile.k_count - first);
    load_tile<kTile>(in.k, kv_head, tile.k_begin + first, key_count, aligned, keys);
    load_tile<kTile>(in.v, kv_head, tile.k_begin + first, key_count, aligned, values);
    __syncthreads();
    weigh<kTile>(in, tile, head, gradients.lse + statistics, gradients.delta + statistics,
                 tile.first, count, first, key_count, queries, keys, values, douts, nullptr,
                 dscores);
    __syncthreads();
    add_product<kTile, kColumns, false>(dscores, keys, width, dq);
    if (gradients.bias_partial != nullptr)
      add_diagonals<kTile>(dscores, in.bias, head, tile.first + visible.shift - first, count,
                           key_count,
                           gradients.bias_partial + blockIdx.x * in.bias.distances * in.bias.heads);
    __syncthreads();
  }
  store_rows<kTile>(dq, gradients.dq, head, q_row, count, [&](int) { return in.scale; });
}

template <typename T, int kTile, int kColumns>
__global__ void attention_backward_key_kernel(AttentionInputs<T> in,
                                              AttentionGradients<T> gradients,
                                              const AttentionTile* tiles, bool aligned) {
  constexpr int kOwn = kTile / kSide;
  const AttentionTile tile = tiles[blockIdx.x];
  const std::int64_t kv_head = blockIdx.y, group = in.q.heads / in.k.heads;
  const int width = static_cast<int>(in.q.head_dim);
  const Visibility visible(tile, in.mask);
  const std::int64_t key_count = least<std::int64_t>(kTile, tile.k_count - tile.first);
  const std::int64_t k_row = static_cast<std::int64_t>(tile.k_begin) + tile.first;

  const int rows = kTile * (width + 1);
  auto* keys = dynamic_shared<float>();
  float *values = keys + rows, *queries = values + rows, *douts = queries + rows,
        *weights = douts + rows, *dscores = weights + kTile * (kTile + 1);
  load_tile<kTile>(in.k, kv_head, k_row, key_count, aligned, keys);
  load_tile<kTile>(in.v, kv_head, k_row, key_count, aligned, values);

  float dk[kOwn][kColumns] = {}, dv[kOwn][kColumns] = {};
  const std::int64_t begin = visible.first_query(tile.first),
                     end = visible.end_query(tile.first, key_count);
  for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head)
    for (std::int64_t first = begin; first < end; first += kTile) {
      const std::int64_t count = least<std::int64_t>(kTile, tile.q_count - first);
      const std::int64_t statistics = head * in.queries + tile.q_begin;
      load_tile<kTile>(in.q, head, tile.q_begin + first, count, aligned, queries);
      load_tile<kTile>(rows_of(gradients.dout, in.q), head, tile.q_begin + first, count, aligned,
                       douts);
      __syncthreads();
      weigh<kTile>(in, tile, head, gradients.lse + statistics, gradients.delta + statistics, first,
                   count, tile.first, key_count, queries, keys, values, douts, weights, dscores);
      __syncthreads();
      add_product<kTile, kColumns, true>(weights, douts, width, dv);
      add_product<kTile, kColumns, true>(dscores, queries, width, dk);
      __syncthreads();
    }
  store_rows<kTile>(dk, gradients.dk, kv_head, k_row, key_count, [&](int) { return in.scale; });
  store_rows<kTile>(dv, gradients.dv, kv_head, k_row, key_count, [](int) { return 1.0f; });
}

template <typename T>
void attention_backward(const AttentionInputs<T>& in, const AttentionGradients<T>& gradients,
                        const AttentionTile* query_tiles, std::int64_t query_tile_count,
                        const AttentionTile* key_tiles, std::int64_t key_tile_count,
                        cudaStream_t stream) {
  const std::int64_t heads = in.q.heads, width = in.q.head_dim;
  launch(attention_delta_kernel<T>, grid_for(in.queries * heads * 32, kDeltaBlock), kDeltaBlock, 0,
         stream, gradients.out, gradients.dout, in.queries, heads, width, gradients.delta);
  const bool aligned = aligned_heads(in.q) && aligned_heads(in.k) && aligned_heads(in.v) &&
                       aligned16(gradients.dout);
  by_head_dim(width, [&](auto tile, auto columns) {
    constexpr int kTile = decltype(tile)::value, kColumns = decltype(columns)::value;
    launch(attention_backward_query_kernel<T, kTile, kColumns>,
           dim3(static_cast<unsigned>(query_tile_count), static_cast<unsigned>(heads)),
           kAttentionBlock, attention_shared(kTile, width, 4, 1), stream, in, gradients,
           query_tiles, aligned);
    launch(attention_backward_key_kernel<T, kTile, kColumns>,
           dim3(static_cast<unsigned>(key_tile_count), static_cast<unsigned>(in.k.heads)),
           kAttentionBlock, attention_shared(kTile, width, 4, 2), stream, in, gradients, key_tiles,
           aligned);
  });
}

template void attention_backward(const AttentionInputs<float>&, const AttentionGradients<float>&,
                                 const AttentionTile*, std::int64_t, const AttentionTile*,
                                 std::int64_t, cudaStream_t);
template void attention_backward(const AttentionInputs<Bf16>&, const AttentionGradients<Bf16>&,
                                 const AttentionTile*, std::int64_t, const AttentionTile*,
                                 std::int64_t, cudaStream_t);
template void attention_backward(const AttentionInputs<Fp16>&, const AttentionGradients<Fp16>&,
                                 const AttentionTile*, std::int64_t, const AttentionTile*,
                                 std::int64_t, cudaStream_t);

}  // namespace tandem::runtime::cuda
