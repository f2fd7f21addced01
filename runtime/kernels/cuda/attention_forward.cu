// Flash attention (Dao 2023) on plain fp32 arithmetic: a block has one tile of queries of one head
// and walks over the keys with a running maximum and sum. Correct for every head size up to 256;
// fast ones belong to a library's fused kernel.
#include "runtime/kernels/cuda/attention.h"

namespace tandem::runtime::cuda {

template <typename T, int kTile, int kColumns>
__global__ void attention_forward_kernel(AttentionInputs<T> in, const AttentionTile* tiles,
                                         HeadRows<T> out, float* lse, bool aligned) {
  constexpr int kOwn = kTile / kSide;
  const AttentionTile tile = tiles[blockIdx.x];
  const std::int64_t head = blockIdx.y, kv_head = head / (in.q.heads / in.k.heads);
  const int width = static_cast<int>(in.q.head_dim), y = square_row(), x = square_column();
  const Visibility visible(tile, in.mask);
  const std::int64_t count = least<std::int64_t>(kTile, tile.q_count - tile.first);
  const std::int64_t q_row = static_cast<std::int64_t>(tile.q_begin) + tile.first;

  auto* queries = dynamic_shared<float>();
  float* keys = queries + kTile * (width + 1);  // then the values of the same rows
  float* weights = keys + kTile * (width + 1);
  load_tile<kTile>(in.q, head, q_row, count, aligned, queries);

  float accumulated[kOwn][kColumns] = {}, maximum[kOwn], total[kOwn] = {};
#pragma unroll
  for (int r = 0; r < kOwn; ++r) maximum[r] = -kInfinity;
  const std::int64_t end = visible.end_key(tile.first, count);
  for (std::int64_t first = visible.first_key(tile.first); first < end; first += kTile) {
    const std::int64_t key_count = least<std::int64_t>(kTile, tile.k_count - first);
    load_tile<kTile>(in.k, kv_head, tile.k_begin + first, key_count, aligned, keys);
    __syncthreads();
    float scores[kOwn][kOwn];
    multiply_rows<kTile>(queries, keys, width, scores);
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
      const int row = y + r * kSide;
      float best = maximum[r], sum = 0.0f;
#pragma unroll
      for (int c = 0; c < kOwn; ++c) {
        const std::int64_t column = x + c * kSide;
        const bool sees =
            row < count && column < key_count && visible.sees(tile.first + row, first + column);
        if (sees)
          scores[r][c] = scores[r][c] * in.scale +
                         bias_of(in.bias, head, tile.first + row + visible.shift - first - column);
        else
          scores[r][c] = -kInfinity;
        best = Maximum::of(best, scores[r][c]);
      }
      best = warp_reduce<Maximum, kSide>(best);
#pragma unroll
      for (int c = 0; c < kOwn; ++c) {
        const float weight = scores[r][c] == -kInfinity ? 0.0f : expf(scores[r][c] - best);
        weights[row * (kTile + 1) + x + c * kSide] = weight;
        sum += weight;
      }
      const float correction = maximum[r] == -kInfinity ? 0.0f : expf(maximum[r] - best);
      total[r] = total[r] * correction + warp_reduce<Sum, kSide>(sum);
      maximum[r] = best;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) accumulated[r][c] *= correction;
    }
    __syncthreads();
    float* values = keys;
    load_tile<kTile>(in.v, kv_head, tile.k_begin + first, key_count, aligned, values);
    __syncthreads();
    add_product<kTile, kColumns, false>(weights, values, width, accumulated);
    __syncthreads();
  }
  store_rows<kTile>(accumulated, out, head, q_row, count,
                    [&](int r) { return total[r] > 0.0f ? 1.0f / total[r] : 0.0f; });
  if (x != 0) return;
#pragma unroll
  for (int r = 0; r < kOwn; ++r)
    if (y + r * kSide < count)
      lse[head * in.queries + q_row + y + r * kSide] =
          total[r] > 0.0f ? maximum[r] + logf(total[r]) : -kInfinity;
}

template <typename T>
void attention_forward(const AttentionInputs<T>& in, const AttentionTile* tiles,
                       std::int64_t tile_count, T* out, float* lse, cudaStream_t stream) {
  const HeadRows<T> rows = {out, in.q.heads * in.q.head_dim, in.q.heads, in.q.head_dim};
  const bool aligned = aligned_heads(in.q) && aligned_heads(in.k) && aligned_heads(in.v);
  by_head_dim(in.q.head_dim, [&](auto tile, auto columns) {
    launch(attention_forward_kernel<T, decltype(tile)::value, decltype(columns)::value>,
           dim3(static_cast<unsigned>(tile_count), static_cast<unsigned>(in.q.heads)),
           kAttentionBlock, attention_shared(decltype(tile)::value, in.q.head_dim, 2, 1), stream,
           in, tiles, rows, lse, aligned);
  });
}

template void attention_forward(const AttentionInputs<float>&, const AttentionTile*, std::int64_t,
                                float*, float*, cudaStream_t);
template void attention_forward(const AttentionInputs<Bf16>&, const AttentionTile*, std::int64_t,
                                Bf16*, float*, cudaStream_t);
template void attention_forward(const AttentionInputs<Fp16>&, const AttentionTile*, std::int64_t,
                                Fp16*, float*, cudaStream_t);

}  // namespace tandem::runtime::cuda
