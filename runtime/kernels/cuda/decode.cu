// Generation: writing the cache, and one query per row against it.
#include "runtime/kernels/cuda/attention.h"

namespace tandem::runtime::cuda {

constexpr unsigned kBlock = 256;
constexpr unsigned kDecodeBlock = 128;  // also the keys of one round

template <typename T>
__global__ void kv_cache_write_kernel(HeadRows<const T> rows, const std::int32_t* slots,
                                      const std::int32_t* positions, std::int64_t n,
                                      std::int64_t capacity, T* cache, bool aligned) {
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

template <typename T>
__device__ inline float dot(const float* query, const T* key, std::int64_t width, bool aligned) {
  float sum = 0.0f;
  for (std::int64_t e = 0; e < width; e += kPack) {
    const Pack k = load(key + e, width - e, aligned);
#pragma unroll
    for (int i = 0; i < kPack; ++i)
      if (e + i < width) sum += query[e + i] * k.v[i];
  }
  return sum;
}

// A block per row and query head, a thread per key of a round for the scores, then per column for
// the sum of values.
template <typename T>
__global__ void attention_decode_kernel(DecodeInputs<T> in, T* out, bool aligned) {
  constexpr int kColumns = kMaxHeadDim / kDecodeBlock;
  __shared__ float query[kMaxHeadDim], weights[kDecodeBlock];
  const std::int64_t width = in.q.head_dim, row = blockIdx.x / in.q.heads,
                     head = blockIdx.x % in.q.heads, kv_head = head / (in.q.heads / in.kv_heads);
  for (std::int64_t e = threadIdx.x; e < width; e += kDecodeBlock)
    query[e] = to_float(in.q.data[row * in.q.stride + head * width + e]) * in.scale;
  __syncthreads();

  const std::int64_t length = in.lengths[row], stride = in.kv_heads * width;
  const std::int64_t begin =
      in.window > 0 ? greatest<std::int64_t>(0, length - in.window) : std::int64_t{0};
  const std::int64_t base = in.slots[row] * in.capacity * stride + kv_head * width;
  float accumulated[kColumns] = {}, maximum = -kInfinity, total = 0.0f;
  for (std::int64_t first = begin; first < length; first += kDecodeBlock) {
    const std::int64_t key = first + threadIdx.x;
    float score = -kInfinity;
    if (key < length)
      score = dot(query, in.keys + base + key * stride, width, aligned) +
              bias_of(in.bias, head, length - 1 - key);
    const float best = Maximum::of(maximum, block_maximum(score));
    const float weight = key < length ? expf(score - best) : 0.0f;
    const float correction = maximum == -kInfinity ? 0.0f : expf(maximum - best);
    weights[threadIdx.x] = weight;
    total = total * correction + block_sum(weight);  // its barriers show the weights to all
    maximum = best;
    const std::int64_t count = least<std::int64_t>(kDecodeBlock, length - first);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const std::int64_t column = threadIdx.x + c * kDecodeBlock;
      if (column >= width) continue;
      const T* value = in.values + base + first * stride + column;
      float sum = accumulated[c] * correction;
      for (std::int64_t j = 0; j < count; ++j) sum += weights[j] * to_float(value[j * stride]);
      accumulated[c] = sum;
    }  // the next maximum has a barrier before weights are written
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const std::int64_t column = threadIdx.x + c * kDecodeBlock;
    if (column < width)
      assign(out[(row * in.q.heads + head) * width + column],
             total > 0.0f ? accumulated[c] / total : 0.0f);
  }
}

template <typename T>
void attention_decode(const DecodeInputs<T>& in, T* out, cudaStream_t stream) {
  launch(attention_decode_kernel<T>, dim3(static_cast<unsigned>(in.rows * in.q.heads)),
         kDecodeBlock, 0, stream, in, out, aligned_rows(in.q.head_dim, in.keys));
}

template void kv_cache_write(const HeadRows<const float>&, const std::int32_t*, const std::int32_t*,
                             std::int64_t, std::int64_t, float*, cudaStream_t);
template void kv_cache_write(const HeadRows<const Bf16>&, const std::int32_t*, const std::int32_t*,
                             std::int64_t, std::int64_t, Bf16*, cudaStream_t);
template void kv_cache_write(const HeadRows<const Fp16>&, const std::int32_t*, const std::int32_t*,
                             std::int64_t, std::int64_t, Fp16*, cudaStream_t);
template void attention_decode(const DecodeInputs<float>&, float*, cudaStream_t);
template void attention_decode(const DecodeInputs<Bf16>&, Bf16*, cudaStream_t);
template void attention_decode(const DecodeInputs<Fp16>&, Fp16*, cudaStream_t);

}  // namespace tandem::runtime::cuda
