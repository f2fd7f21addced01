// What forward and backward attention share: blocks, masks and packing.
//
// Scores are computed transposed, keys x queries. A vector then holds one key and kLanes queries,
// so that softmax statistics, masks and gradients are vertical operations without a shuffle, keys
// need no transposition, and the probabilities come out in the very layout that the next product
// wants.
//
// The query heads that share a key-value head are laid side by side as columns: [head 0: positions
// | head 1: …], each padded to whole vectors.
#pragma once

#include "runtime/kernels/cpu/isa/micro_gemm.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"
#include "runtime/kernels/cpu/kernel_table.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

constexpr std::int64_t kKeyBlock = 96;       // a multiple of kTileRows and of every kStep
constexpr std::int64_t kColumnTarget = 128;  // columns (query heads x positions) of a block
constexpr std::int64_t kMaxQueryBlock = 64;

// Positions of a query block, a multiple of kLanes, when `group` heads share it.
inline std::int64_t query_block(std::int64_t group) {
  return minimum(kMaxQueryBlock, maximum(kLanes, kColumnTarget / group / kLanes * kLanes));
}

// One sequence.
struct Span {
  std::int64_t q_begin, q_count, k_begin, k_count;
  // Query i sees keys up to i + shift: the last query sees the last key.
  std::int64_t shift() const { return k_count - q_count; }
};

inline Span span_of(const AttentionTask& task, std::int64_t sequence) {
  const std::int64_t q = task.cu_q[sequence], k = task.cu_k[sequence];
  return {q, task.cu_q[sequence + 1] - q, k, task.cu_k[sequence + 1] - k};
}

// Key range [begin, end) that any of the queries [first, first + count) sees.
struct KeyRange {
  std::int64_t begin, end;
};
inline KeyRange visible_keys(const AttentionTask& task, const Span& span, std::int64_t first,
                             std::int64_t count) {
  const std::int64_t end =
      task.causal ? minimum(span.k_count, first + count + span.shift()) : span.k_count;
  const std::int64_t begin =
      task.window > 0 ? maximum(0, first + span.shift() - task.window + 1) : 0;
  return {begin, maximum(begin, end)};
}

// True when every query of the block sees every key of the block.
inline bool all_visible(const AttentionTask& task, const Span& span, std::int64_t first_query,
                        std::int64_t queries, std::int64_t first_key, std::int64_t keys) {
  const bool above = !task.causal || first_key + keys - 1 <= first_query + span.shift();
  const bool below =
      task.window <= 0 || first_key > first_query + queries - 1 + span.shift() - task.window;
  return above && below;
}

// Lanes whose query (positions first_query + lane) sees `key`.
inline I32 visible_lanes(const AttentionTask& task, const Span& span, std::int64_t first_query,
                         std::int64_t key) {
  const I32 last_key = lane_index() + static_cast<std::int32_t>(first_query + span.shift());
  const auto k = static_cast<std::int32_t>(key);
  I32 visible = I32{} - 1;
  if (task.causal) visible &= last_key >= k;
  if (task.window > 0) visible &= last_key - static_cast<std::int32_t>(task.window) < k;
  return visible;
}

// ---- bias by distance

// Floats of one head's row of biases by distance in scratch memory: the lanes of a last, partly
// filled block read past the end.
inline std::int64_t bias_stride(const BiasTask& bias) {
  return bias.values == nullptr ? 0 : bias.distances + kMaxQueryBlock;
}

// Columns [first_head, first_head + group) as rows.
inline void pack_bias(const BiasTask& bias, std::int64_t first_head, std::int64_t group,
                      float* out) {
  const std::int64_t stride = bias_stride(bias);
  for (std::int64_t g = 0; g < group; ++g)
    for (std::int64_t d = 0; d < stride; ++d)
      out[g * stride + d] =
          d < bias.distances ? bias.values[d * bias.heads + first_head + g] : 0.0f;
}

// Where the biases of kLanes queries from `first_position` on and of `key` start in such a row.
inline std::int64_t bias_index(const AttentionTask& task, const Span& span,
                               std::int64_t first_position, std::int64_t key) {
  return task.bias.zero + first_position + span.shift() - key;
}

// ---- packing

// rows x width of T → Packed rows of out_width elements, zero beyond width.
template <typename Packed, typename T>
void pack_rows(const T* in, std::int64_t stride, std::int64_t rows, std::int64_t width,
               std::int64_t out_width, Packed* out) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < width; j += kLanes)
      store(out + j, load(in + j, width - j), width - j);
    for (std::int64_t j = width; j < out_width; ++j) out[j] = 0;
    in += stride;
    out += out_width;
  }
}

// out[j, i] = in[i, j].
template <typename Word>
void transpose(const Word* in, std::int64_t in_stride, std::int64_t rows, std::int64_t columns,
               Word* out, std::int64_t out_stride) {
  constexpr std::int64_t kTile = 16;
  for (std::int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (std::int64_t j0 = 0; j0 < columns; j0 += kTile)
      for (std::int64_t j = j0; j < minimum(columns, j0 + kTile); ++j)
        for (std::int64_t i = i0; i < minimum(rows, i0 + kTile); ++i)
          out[j * out_stride + i] = in[i * in_stride + j];
}

// [rows, width] → b of a product over width: [width / kStep, out_stride, kStep]. A pair moves as
// one 32-bit word.
template <typename Dot>
void pack_transposed(const typename Dot::Packed* in, std::int64_t rows, std::int64_t width,
                     typename Dot::Packed* out, std::int64_t out_stride) {
  using Word __attribute__((may_alias)) = std::uint32_t;
  const std::int64_t words = width / Dot::kStep;
  transpose(reinterpret_cast<const Word*>(in), words, rows, words, reinterpret_cast<Word*>(out),
            out_stride);
}

// [rows, width] → b of a product over rows: [rows / kStep, width, kStep]; rows is a multiple of
// kStep.
template <typename Dot>
void pack_interleaved(const typename Dot::Packed* in, std::int64_t rows, std::int64_t width,
                      typename Dot::Packed* out) {
  for (std::int64_t i = 0; i < rows; i += Dot::kStep)
    for (std::int64_t j = 0; j < width; ++j)
      for (std::int64_t s = 0; s < Dot::kStep; ++s)
        out[i * width + j * Dot::kStep + s] = in[(i + s) * width + j];
}

// Stores vectors of two consecutive rows of b (kStep = 2), or the first alone (kStep = 1).
inline void store_step(float* out, F32 first, F32) {
  store(out, first);
}
inline void store_step(Bf16* out, F32 first, F32 second) {
  const U32 pairs = __builtin_convertvector(narrow(first), U32) |
                    (__builtin_convertvector(narrow(second), U32) << 16);
  __builtin_memcpy(out, &pairs, sizeof pairs);
}

// Gathers one block of query-side rows (q or dout) of the `group` heads that share a key-value
// head: [group * block, width_padded], zero in padding rows and columns.
template <typename Packed, typename T>
void pack_group(HeadRows<const T> heads, std::int64_t first_row, std::int64_t count,
                std::int64_t first_head, std::int64_t group, std::int64_t block,
                std::int64_t padded_width, Packed* out) {
  for (std::int64_t g = 0; g < group; ++g) {
    const T* in = heads.data + first_row * heads.stride + (first_head + g) * heads.head_dim;
    Packed* target = out + g * block * padded_width;
    pack_rows(in, heads.stride, count, heads.head_dim, padded_width, target);
    __builtin_memset(target + count * padded_width, 0,
                     static_cast<std::size_t>((block - count) * padded_width) * sizeof(Packed));
  }
}

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
