// Generation: writing the cache, and one query per row against it.
//
// Blocks share the keys of a long row. How many do is a function of how many keys that row has: its
// result has the same bits in every batch, and the grid depends on no length, which a recorded step
// reads on the card.
#include "runtime/kernels/cuda/attention.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;
constexpr int kDecodeBlock = 128;
constexpr int kKeys = 128;  // of one round
constexpr int kSplits = 32;
constexpr int kLanes = 4;  // for the score of one key
constexpr int kAhead = 4;  // packs of values that a thread waits for at once

template <typename T>
__global__ void __launch_bounds__(kBlock)
    kv_cache_write_kernel(HeadRows<const T> rows, const std::int32_t* slots,
                          const std::int32_t* positions, std::int64_t n, std::int64_t capacity,
                          T* cache, bool aligned) {
  const std::int64_t width = rows.heads * rows.head_dim, packs = (width + kPack - 1) / kPack;
  const std::int64_t thread = global_thread(), i = thread / packs, j = thread % packs * kPack;
  if (i >= n) return;
  const std::int64_t row = slots[i] * capacity + positions[i];
  store(cache + row * width + j, load(rows.data + i * rows.stride + j, width - j, aligned),
        width - j, aligned);
}

template <typename T>
void kv_cache_write(const HeadRows<const T>& rows, const std::int32_t* slots,
                    const std::int32_t* positions, std::int64_t n, std::int64_t capacity, T* cache,
                    cudaStream_t stream) {
  const std::int64_t width = rows.heads * rows.head_dim;
  const bool aligned = aligned_rows(width, rows.data, cache) && rows.stride % kPack == 0;
  launch(kv_cache_write_kernel<T>, grid_for(n * ceil_div(width, kPack), kBlock), kBlock, 0, stream,
         rows, slots, positions, n, capacity, cache, aligned);
}

// Keys [begin, end) of a row are block `split`'s, one of `count`: whole rounds, but at the end.
struct KeyShare {
  std::int64_t begin, end, count;

  __device__ KeyShare(std::int64_t length, std::int64_t window, std::int64_t split) {
    const std::int64_t first = window > 0 ? greatest<std::int64_t>(0, length - window) : 0,
                       rounds = (length - first + kKeys - 1) / kKeys,
                       each = (rounds + kSplits - 1) / kSplits * kKeys;
    begin = first + split * each;
    end = least(length, begin + each);
    count = each > 0 ? (length - first + each - 1) / each : 1;
  }
};

// Scratch memory of a query whose keys are shared out: for each split the sum of weighted values,
// then the largest score and the sum of weights.
__device__ inline float* partial_of(float* partial, std::int64_t query, std::int64_t splits,
                                    std::int64_t split, std::int64_t width) {
  return partial + (query * splits + split) * (width + 2);
}

// What place(i) says for i < kCount, pointer and elements that are there. In the aligned case all
// reads are on their way before the first is waited for.
template <typename T>
struct Place {
  const T* p;
  std::int64_t count;
};
template <int kCount, typename Places>
__device__ inline void load_together(const Places& place, bool aligned, Pack (&x)[kCount]) {
  if (aligned) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] = load_whole(place(i).p);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) x[i] = load(place(i).p, place(i).count, false);
  }
}

// The products of one key with kGroup queries [kGroup][padded] in shared memory: this lane's part,
// every kLanes-th pack. `padded` is the width in whole packs; queries are 0 beyond their end.
template <int kGroup, int kPacks, typename T>
__device__ inline void add_products(const T* key, const float* queries, int width, int padded,
                                    bool aligned, float (&sums)[kGroup]) {
  constexpr int kStep = kLanes * kPack;
  for (int e = static_cast<int>(threadIdx.x) % kLanes * kPack; e < padded; e += kPacks * kStep) {
    Pack k[kPacks];
    load_together(
        [&](int i) {
          const int at = e + i * kStep < padded ? e + i * kStep : e;
          return Place<T>{key + at, width - at};
        },
        aligned, k);
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (e + i * kStep >= padded) continue;
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
        const Pack q = load_whole(queries + g * padded + e + i * kStep);
#pragma unroll
        for (int c = 0; c < kPack; ++c) sums[g] += q.v[c] * k[i].v[c];
      }
    }
  }
}

// Scores of one head in a round become weights relative to the largest so far. By one warp.
template <int kGroup>
__device__ inline void weigh(float* scores, int head, int count, float& maximum, float& total,
                             float& correction) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float best = -kInfinity;
  for (int j = lane; j < count; j += 32) best = Maximum::of(best, scores[j * kGroup + head]);
  best = Maximum::of(maximum, warp_reduce<Maximum>(best));
  float sum = 0.0f;
  for (int j = lane; j < count; j += 32) {
    float& score = scores[j * kGroup + head];
    score = expf(score - best);
    sum += score;
  }
  sum = warp_reduce<Sum>(sum);
  if (lane == 0) {
    correction = maximum == -kInfinity ? 0.0f : expf(maximum - best);
    total = total * correction + sum;
    maximum = best;
  }
}

// What a block works on: up to kGroup query heads of one KV head of a row.
template <typename T>
struct DecodeTile {
  std::int64_t row, kv_head, first_head;
  int heads, width, padded;

  __device__ DecodeTile(const DecodeInputs<T>& in, int most) {
    const std::int64_t group = in.q.heads / in.kv_heads, tiles = (group + most - 1) / most,
                       member = blockIdx.x % tiles * most;
    row = blockIdx.x / (tiles * in.kv_heads);
    kv_head = blockIdx.x / tiles % in.kv_heads;
    first_head = kv_head * group + member;
    heads = static_cast<int>(least<std::int64_t>(most, group - member));
    width = static_cast<int>(in.q.head_dim);
    padded = (width + kPack - 1) / kPack * kPack;
  }
};

// Scaled queries [kGroup][padded], 0 beyond heads and width.
template <int kGroup, typename T>
__device__ inline void load_queries(const DecodeInputs<T>& in, const DecodeTile<T>& tile,
                                    float* queries) {
  const T* from = in.q.data + tile.row * in.q.stride + tile.first_head * tile.width;
  for (int i = static_cast<int>(threadIdx.x); i < kGroup * tile.padded; i += kDecodeBlock) {
    const int g = i / tile.padded, e = i % tile.padded;
    queries[i] =
        g < tile.heads && e < tile.width ? to_float(from[g * tile.width + e]) * in.scale : 0.0f;
  }
}

// scores[count][kGroup] of keys whose first is `distance` before the query.
template <int kGroup, int kPacks, typename T>
__device__ inline void score_round(const DecodeInputs<T>& in, const DecodeTile<T>& tile,
                                   const T* keys, int count, std::int64_t distance, bool aligned,
                                   const float* queries, float* scores) {
  constexpr int kAtOnce = kDecodeBlock / kLanes;
  const int thread = static_cast<int>(threadIdx.x),
            stride = static_cast<int>(in.kv_heads) * tile.width;
  for (int first = 0; first < count; first += kAtOnce) {
    const int j = first + thread / kLanes;
    float sums[kGroup] = {};
    if (j < count)
      add_products<kGroup, kPacks>(keys + j * stride, queries, tile.width, tile.padded, aligned,
                                   sums);
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
      const float sum = warp_reduce<Sum, kLanes>(sums[g]);
      if (thread % kLanes == 0 && j < count && g < tile.heads)
        scores[j * kGroup + g] = sum + bias_of(in.bias, tile.first_head + g, distance - j);
    }
  }
}

// A thread's sums over every `step`-th value from the `first` on: kPack columns from `values` on,
// of which `columns` are there.
template <int kGroup, typename T>
__device__ inline void add_values(const T* values, int stride, int first, int step, int count,
                                  int columns, int heads, bool aligned, const float* weights,
                                  float (&sums)[kGroup][kPack]) {
  for (int j = first; j < count; j += kAhead * step) {
    Pack v[kAhead];
    load_together(
        [&](int i) {
          const int at = j + i * step < count ? j + i * step : j;
          return Place<T>{values + at * stride, columns};
        },
        aligned, v);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (j + i * step >= count) continue;
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
        if (g >= heads) continue;
        const float weight = weights[(j + i * step) * kGroup + g];
#pragma unroll
        for (int c = 0; c < kPack; ++c) sums[g][c] += weight * v[i].v[c];
      }
    }
  }
}

// A block per tile and share of the keys. In a round, lanes in fours make the scores, a warp a
// head's weights, and threads the sums of values: one for a pack of columns and every so many-th
// key.
template <typename T, int kGroup, int kPacks>
__global__ void __launch_bounds__(kDecodeBlock)
    attention_decode_kernel(DecodeInputs<T> in, float* partial, T* out, bool aligned) {
  alignas(16) __shared__ float queries[kGroup * kMaxHeadDim];
  __shared__ float weights[kKeys * kGroup], pieces[kDecodeBlock * kPack];
  __shared__ float maximum[kGroup], total[kGroup], correction[kGroup];
  const DecodeTile<T> tile(in, kGroup);
  const std::int64_t length = in.lengths[tile.row];
  const KeyShare share(length, in.window, blockIdx.y);
  if (blockIdx.y >= share.count) return;
  const int thread = static_cast<int>(threadIdx.x);
  load_queries<kGroup>(in, tile, queries);
  if (thread < kGroup) {
    maximum[thread] = -kInfinity;
    total[thread] = 0.0f;
  }
  __syncthreads();

  const int stride = static_cast<int>(in.kv_heads) * tile.width, packs = tile.padded / kPack,
            slices = kDecodeBlock / packs, slice = thread / packs, column = thread % packs * kPack;
  const std::int64_t base = in.slots[tile.row] * in.capacity * stride + tile.kv_head * tile.width;
  float sums[kGroup][kPack] = {};
  for (std::int64_t first = share.begin; first < share.end; first += kKeys) {
    const int count = static_cast<int>(least<std::int64_t>(kKeys, share.end - first));
    score_round<kGroup, kPacks>(in, tile, in.keys + base + first * stride, count,
                                length - 1 - first, aligned, queries, weights);
    __syncthreads();
    for (int g = thread / 32; g < tile.heads; g += kDecodeBlock / 32)
      weigh<kGroup>(weights, g, count, maximum[g], total[g], correction[g]);
    __syncthreads();
#pragma unroll
    for (int g = 0; g < kGroup; ++g)
#pragma unroll
      for (int c = 0; c < kPack; ++c) sums[g][c] *= g < tile.heads ? correction[g] : 0.0f;
    if (slice < slices)
      add_values<kGroup>(in.values + base + first * stride + column, stride, slice, slices, count,
                         tile.width - column, tile.heads, aligned, weights, sums);
    __syncthreads();
  }

#pragma unroll
  for (int g = 0; g < kGroup; ++g) {
    if (g >= tile.heads) continue;
    if (slice < slices) {
#pragma unroll
      for (int c = 0; c < kPack; ++c) pieces[slice * tile.padded + column + c] = sums[g][c];
    }
    __syncthreads();
    const std::int64_t query = tile.row * in.q.heads + tile.first_head + g;
    float* record = partial_of(partial, query, gridDim.y, blockIdx.y, tile.width);
    for (int e = thread; e < tile.width; e += kDecodeBlock) {
      float sum = 0.0f;
      for (int s = 0; s < slices; ++s) sum += pieces[s * tile.padded + e];
      if (share.count > 1)
        record[e] = sum;
      else
        assign(out[query * tile.width + e], total[g] > 0.0f ? sum / total[g] : 0.0f);
    }
    if (share.count > 1 && thread == 0) {
      record[tile.width] = maximum[g];
      record[tile.width + 1] = total[g];
    }
    __syncthreads();
  }
}

// A block per query whose keys were shared out.
template <typename T>
__global__ void __launch_bounds__(kDecodeBlock)
    combine_splits_kernel(DecodeInputs<T> in, float* partial, std::int64_t splits, T* out) {
  __shared__ float factors[kSplits];
  const std::int64_t query = blockIdx.x, width = in.q.head_dim;
  const std::int64_t count = KeyShare(in.lengths[query / in.q.heads], in.window, 0).count;
  if (count <= 1) return;
  const bool own = threadIdx.x < count;
  const float* record = partial_of(partial, query, splits, own ? threadIdx.x : 0, width);
  const float maximum = own ? record[width] : -kInfinity, best = block_maximum(maximum);
  const float factor = maximum == -kInfinity ? 0.0f : expf(maximum - best);
  if (own) factors[threadIdx.x] = factor;
  const float total = block_sum(own ? factor * record[width + 1] : 0.0f);
  for (std::int64_t e = threadIdx.x; e < width; e += kDecodeBlock) {
    float sum = 0.0f;
#pragma unroll 4
    for (std::int64_t split = 0; split < count; ++split)
      sum += factors[split] * partial_of(partial, query, splits, split, width)[e];
    assign(out[query * width + e], total > 0.0f ? sum / total : 0.0f);
  }
}

std::int64_t decode_splits(std::int64_t capacity) {
  const std::int64_t rounds = ceil_div(capacity, kKeys);
  return rounds < 1 ? 1 : rounds < kSplits ? rounds : kSplits;
}

std::int64_t decode_scratch(std::int64_t queries, std::int64_t head_dim, std::int64_t capacity) {
  const std::int64_t splits = decode_splits(capacity);
  return splits > 1 ? queries * splits * (head_dim + 2) : 0;
}

template <int kGroup, typename T>
void launch_decode(const DecodeInputs<T>& in, float* partial, T* out, cudaStream_t stream) {
  const std::int64_t splits = decode_splits(in.capacity),
                     tiles = ceil_div(in.q.heads / in.kv_heads, kGroup);
  const dim3 grid(static_cast<unsigned>(in.rows * in.kv_heads * tiles),
                  static_cast<unsigned>(splits));
  const bool narrow = in.q.head_dim <= 2 * kLanes * kPack;
  launch(narrow ? attention_decode_kernel<T, kGroup, 2> : attention_decode_kernel<T, kGroup, 4>,
         grid, kDecodeBlock, 0, stream, in, partial, out,
         aligned_rows(in.q.head_dim, in.keys, in.values));
  if (splits > 1)
    launch(combine_splits_kernel<T>, dim3(static_cast<unsigned>(in.rows * in.q.heads)),
           kDecodeBlock, 0, stream, in, partial, splits, out);
}

template <typename T>
void attention_decode(const DecodeInputs<T>& in, float* partial, T* out, cudaStream_t stream) {
  const std::int64_t group = in.q.heads / in.kv_heads;
  if (group == 1)
    launch_decode<1>(in, partial, out, stream);
  else if (group == 2)
    launch_decode<2>(in, partial, out, stream);
  else
    launch_decode<4>(in, partial, out, stream);
}

template void kv_cache_write(const HeadRows<const float>&, const std::int32_t*, const std::int32_t*,
                             std::int64_t, std::int64_t, float*, cudaStream_t);
template void kv_cache_write(const HeadRows<const Bf16>&, const std::int32_t*, const std::int32_t*,
                             std::int64_t, std::int64_t, Bf16*, cudaStream_t);
template void kv_cache_write(const HeadRows<const Fp16>&, const std::int32_t*, const std::int32_t*,
                             std::int64_t, std::int64_t, Fp16*, cudaStream_t);
template void attention_decode(const DecodeInputs<float>&, float*, float*, cudaStream_t);
template void attention_decode(const DecodeInputs<Bf16>&, float*, Bf16*, cudaStream_t);
template void attention_decode(const DecodeInputs<Fp16>&, float*, Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
