// The host side of the kernels: each function launches on `stream` what kernels/backend.h says
// under its name. Shapes and dtypes are settled before (cuda_backend.cpp); T is float, Bf16 or
// Fp16. Files are named after the sections here.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "runtime/kernels/kernel_arguments.h"

namespace tandem::runtime::cuda {

using Bf16 = __nv_bfloat16;
using Fp16 = __half;

// ---- elementwise.cu

// The low `element_bytes` of `bits` in every element.
void fill(void* out, std::int64_t n, int element_bytes, std::uint64_t bits, cudaStream_t stream);
// In and Out: float, double, Bf16, Fp16; not twice the same.
template <typename In, typename Out>
void convert(const In* in, std::int64_t n, Out* out, cudaStream_t stream);
template <typename A, typename B, typename Out>
void add(const A* a, const B* b, std::int64_t n, Out* out, cudaStream_t stream);
template <typename T>
void scale(T* x, std::int64_t n, float factor, cudaStream_t stream);

// ---- dropout.cu

template <typename T>
void dropout(const T* x, std::int64_t n, std::int64_t width, float p, std::uint64_t key,
             std::uint64_t philox_stream, std::uint64_t first_index, std::int64_t row_stride,
             T* out, cudaStream_t stream);

// ---- rows.cu

// Rows outside [first_row, first_row + in_rows) give zeros.
template <typename In, typename Out>
void gather(const In* in, const std::int32_t* rows, std::int64_t first_row, std::int64_t in_rows,
            std::int64_t n, std::int64_t width, Out* out, cudaStream_t stream);
template <typename T, typename Out>
void scatter_add(const T* x, const std::int32_t* rows, std::int64_t first_row, std::int64_t n,
                 std::int64_t out_rows, std::int64_t width, Out* out, cudaStream_t stream);
void concat_columns(const float* parts, std::int64_t n, std::int64_t width, std::int64_t columns,
                    float* out, cudaStream_t stream);

// ---- columns.cu

template <typename T>
void add_columns(const T* x, std::int64_t n, std::int64_t part, float factor, std::int64_t first,
                 std::int64_t width, T* out, cudaStream_t stream);
// Columns [first, first + part) of out[n, width] = x[n, part].
template <typename T>
void place_columns(const T* x, std::int64_t n, std::int64_t part, std::int64_t first,
                   std::int64_t width, T* out, cudaStream_t stream);
template <typename T>
void take_columns(const T* x, std::int64_t n, std::int64_t width, float factor, std::int64_t first,
                  std::int64_t part, T* out, cudaStream_t stream);

// ---- fp8.cu

// *amax = max(*amax, |x|); NaN counts as the largest.
template <typename T>
void amax(const T* x, std::int64_t n, float* amax, cudaStream_t stream);
void fp8_scale(const float* amax, float largest, float* scale, cudaStream_t stream);
// Where the codes of a matrix go: rows [rows, row_length], columns [columns, column_length]; null
// where not wanted.
struct Fp8Target {
  std::uint8_t *rows, *columns;
  std::int64_t row_length, column_length;
  float* inverse_scale;
};
// amax may be null.
template <typename T>
void quantize_fp8(const T* x, std::int64_t rows, std::int64_t columns, const float* scale,
                  bool e5m2, const Fp8Target& out, float* amax, cudaStream_t stream);
void decode_fp8(const std::uint8_t* codes, bool e5m2, std::int64_t n, Bf16* values,
                cudaStream_t stream);
// out (+)= sums · *scale_a · *scale_b (+ bias); bias may be null.
template <typename Out>
void finish_fp8(const float* sums, std::int64_t rows, std::int64_t columns, const float* scale_a,
                const float* scale_b, const float* bias, bool accumulate, Out* out,
                cudaStream_t stream);

// ---- reductions.cu

// Sums over rows go in two steps: `row_blocks(n)` partial sums per column, then their sum.
std::int64_t row_blocks(std::int64_t n);
// partial: [row_blocks(n), width].
template <typename T>
void column_sum(const T* dy, std::int64_t n, std::int64_t width, float* partial, float* dbias,
                bool accumulate, cudaStream_t stream);
// target[j] (+)= Σ_block partial[block · stride + j], in an order that `blocks` alone decides.
void combine_partials(const float* partial, std::int64_t blocks, std::int64_t stride,
                      std::int64_t width, float* target, bool accumulate, cudaStream_t stream);
constexpr std::int64_t kSumBlocks = 512;
// Blocks of `block` threads that go through n elements, a pack at a time: at most kSumBlocks.
dim3 sum_grid(std::int64_t n, unsigned block);
// partial: [kSumBlocks].
template <typename T>
void sum_of_squares(const T* x, std::int64_t n, double* partial, double* result,
                    cudaStream_t stream);
// finite (set to 1 before) becomes 0 when an element is not.
template <typename T>
void all_finite(const T* x, std::int64_t n, int* finite, cudaStream_t stream);
void add_dot(const float* a, const float* b, std::int64_t n, float* out, cudaStream_t stream);

// ---- rms_norm.cu, layer_norm.cu

// Partial sums of the parameters' gradients, as row_blocks; partial: [norm_blocks(n, width),
// width], twice as wide for layer_norm.
std::int64_t norm_blocks(std::int64_t n, std::int64_t width);

template <typename T>
void rms_norm_forward(const T* x, const T* residual, const float* weight, float eps, std::int64_t n,
                      std::int64_t width, T* h, T* y, float* rstd, cudaStream_t stream);
template <typename T>
void rms_norm_backward(const T* h, const float* weight, const float* rstd, const T* dy,
                       const T* dh_in, std::int64_t n, std::int64_t width, T* dh, float* partial,
                       cudaStream_t stream);
template <typename T>
void layer_norm_forward(const T* x, const T* residual, const float* weight, const float* bias,
                        float eps, std::int64_t n, std::int64_t width, T* h, T* y, float* mean,
                        float* rstd, cudaStream_t stream);
template <typename T>
void layer_norm_backward(const T* h, const float* weight, const float* mean, const float* rstd,
                         const T* dy, const T* dh_in, std::int64_t n, std::int64_t width, T* dh,
                         float* partial, cudaStream_t stream);

// ---- rope.cu

// A position outside [0, max_position) leaves its row alone and sets *fault.
template <typename T>
void rope(const HeadRows<T>& heads, std::int64_t n, const std::int32_t* positions,
          std::int64_t max_position, const float* cos, const float* sin, bool inverse, int* fault,
          cudaStream_t stream);

// ---- activations.cu

enum class Activation { kSilu, kGeluTanh, kGeluErf, kRelu, kTanh };
template <typename T>
void activation_forward(Activation activation, const T* x, std::int64_t n, T* y,
                        cudaStream_t stream);
// dx = dy · f'(x); of kTanh x is the output.
template <typename T>
void activation_backward(Activation activation, const T* x, std::int64_t n, const T* dy, T* dx,
                         cudaStream_t stream);
// gate_up [n, 2 · width] = gate|up, out [n, width] = f(gate) · up.
template <typename T>
void gated_forward(Activation activation, const T* gate_up, std::int64_t n, std::int64_t width,
                   T* out, cudaStream_t stream);
template <typename T>
void gated_backward(Activation activation, const T* gate_up, const T* dy, std::int64_t n,
                    std::int64_t width, T* dgate_up, cudaStream_t stream);

// ---- attention_forward.cu, attention_backward.cu

constexpr std::int64_t kMaxHeadDim = 256;
// Rows of a query or key block: fewer for wide heads, whose rows fill shared memory.
constexpr int attention_tile(std::int64_t head_dim) {
  return head_dim <= 128 ? 32 : 16;
}
// One block of one sequence: its rows of q (or k) start at `first` of the sequence.
struct AttentionTile {
  std::int32_t q_begin, q_count, k_begin, k_count, first;
};
struct AttentionMask {
  bool causal;
  std::int64_t window;
};
// [distances, heads], see DistanceBias; no bias where `values` is null.
struct AttentionBias {
  const float* values = nullptr;
  std::int64_t distances = 0, heads = 0, zero = 0;
};
template <typename T>
struct AttentionInputs {
  HeadRows<const T> q, k, v;
  AttentionMask mask;
  AttentionBias bias;
  float scale;
  std::int64_t queries;  // rows of q over all sequences
};
// tiles: device, one per block of queries. out [queries, heads · head_dim], lse [heads, queries].
template <typename T>
void attention_forward(const AttentionInputs<T>& in, const AttentionTile* tiles,
                       std::int64_t tile_count, T* out, float* lse, cudaStream_t stream);
template <typename T>
struct AttentionGradients {
  const float* lse;
  const T* out;
  const T* dout;
  float* delta;         // [heads, queries], scratch
  float* bias_partial;  // [query tiles, distances, heads], zeros before; null: not wanted
  HeadRows<T> dq, dk, dv;
};
template <typename T>
void attention_backward(const AttentionInputs<T>& in, const AttentionGradients<T>& gradients,
                        const AttentionTile* query_tiles, std::int64_t query_tile_count,
                        const AttentionTile* key_tiles, std::int64_t key_tile_count,
                        cudaStream_t stream);

// ---- attention_lists.cu: borders int32 [sequences + 1], on the device

// Room in a list for the tiles of so many rows, however they are divided into sequences.
constexpr std::int64_t attention_tile_slots(std::int64_t rows, std::int64_t sequences,
                                            std::int64_t tile) {
  return rows / tile + sequences;
}
// Tiles of that many rows, of queries and of keys alike: [attention_tile_slots].
void attention_tiles(const std::int32_t* borders, std::int64_t sequences, std::int64_t tile,
                     std::int64_t slots, AttentionTile* tiles, cudaStream_t stream);
// Lists of `padded` + 1 numbers, one every `pitch`: where each sequence begins in a tensor whose
// rows have so many elements, or, for width 0, the sequence's rows. Sequences that are not there
// are empty ones at the end.
struct SequenceLists {
  static constexpr std::int64_t kMost = 16;
  std::int64_t count, padded, pitch;
  std::int64_t widths[kMost];
};
void sequence_lists(const std::int32_t* borders, std::int64_t sequences, const SequenceLists& lists,
                    std::int32_t* out, cudaStream_t stream);

// ---- decode.cu

template <typename T>
void kv_cache_write(const HeadRows<const T>& rows, const std::int32_t* slots,
                    const std::int32_t* positions, std::int64_t n, std::int64_t capacity, T* cache,
                    cudaStream_t stream);
template <typename T>
struct DecodeInputs {
  HeadRows<const T> q;
  const T* keys;
  const T* values;
  const std::int32_t* slots;
  const std::int32_t* lengths;
  std::int64_t rows, capacity, kv_heads;
  float scale;
  std::int64_t window;
  AttentionBias bias;
};
// Elements of `partial` for rows · heads queries; none where a block reads all keys of a row.
std::int64_t decode_scratch(std::int64_t queries, std::int64_t head_dim, std::int64_t capacity);
template <typename T>
void attention_decode(const DecodeInputs<T>& in, float* partial, T* out, cudaStream_t stream);

// ---- softmax.cu

template <typename T>
void row_max(const T* logits, std::int64_t n, std::int64_t width, float* maximum,
             cudaStream_t stream);
template <typename T>
void softmax_sums(const T* logits, const float* maximum, const std::int32_t* targets,
                  std::int64_t first_column, std::int64_t n, std::int64_t width, float* sums,
                  cudaStream_t stream);
template <typename T>
void row_max_and_sums(const T* logits, const std::int32_t* targets, std::int64_t first_column,
                      std::int64_t n, std::int64_t width, float* maximum, float* sums,
                      cudaStream_t stream);
void softmax_stats(const float* maximum, const float* sums, std::int64_t n, float* lse,
                   float* log_prob, float* entropy, cudaStream_t stream);
template <typename In, typename Out>
void softmax_backward(const In* logits, const float* lse, const std::int32_t* targets,
                      std::int64_t first_column, const float* g_logp, const float* entropy,
                      const float* g_entropy, std::int64_t n, std::int64_t width, Out* dlogits,
                      cudaStream_t stream);

// ---- quantized.cu

struct MatrixPart {
  std::int64_t first_row, rows, first_column, columns;
};
// out[rows, columns] = the numbers that a part's codes stand for.
template <typename T>
void dequantize(const QuantizedRows& weight, const MatrixPart& part, T* out, cudaStream_t stream);
// out[m, rows] = a[m, columns] · weightᵀ (+ bias) for m <= kFewRows; bias may be null.
constexpr std::int64_t kFewRows = 16;
template <typename T>
void quantized_few_rows(const T* a, const QuantizedRows& weight, const float* bias, std::int64_t m,
                        T* out, cudaStream_t stream);

// ---- adamw.cu

// compute may be null.
template <typename Grad, typename Compute>
void adamw(float* master, const Grad* grad, float* exp_avg, float* exp_avg_sq, Compute* compute,
           std::int64_t n, const AdamWTask& task, cudaStream_t stream);

// ---- adamw_8bit.cu

// bounds: between the codes of the map (quant/dynamic_map.h).
struct DeviceMoment {
  std::uint8_t* codes;
  float* maxima;
  const float* values;
  const float* bounds;
};
template <typename Grad, typename Compute>
void adamw_8bit(float* master, const Grad* grad, const DeviceMoment& exp_avg,
                const DeviceMoment& exp_avg_sq, Compute* compute, std::int64_t n,
                const AdamWTask& task, cudaStream_t stream);

// ---- sample.cu

struct SampleTask {
  float temperature;
  std::int64_t top_k;
  float top_p;
};
// uniform may be null when the draw is greedy.
void sample(const float* logits, std::int64_t n, std::int64_t width, const SampleTask& task,
            const float* uniform, std::int32_t* tokens, cudaStream_t stream);

}  // namespace tandem::runtime::cuda
