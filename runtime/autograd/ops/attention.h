// Rotary positions and attention over packed rows `[n, q heads | k heads | v heads]`.
#pragma once

#include <vector>

#include "runtime/autograd/tape.h"
#include "runtime/kernels/backend.h"

namespace tandem::runtime {

// How the columns of a packed projection divide into heads on this rank.
struct PackedHeads {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;

  std::int64_t width() const { return (heads + 2 * kv_heads) * head_dim; }
  HeadsView q(const Tensor& qkv) const { return {qkv, 0, heads, head_dim}; }
  HeadsView k(const Tensor& qkv) const { return {qkv, heads * head_dim, kv_heads, head_dim}; }
  HeadsView v(const Tensor& qkv) const {
    return {qkv, (heads + kv_heads) * head_dim, kv_heads, head_dim};
  }
};

// Angles of all positions a model may meet: cos, sin fp32 [max_position, head_dim / 2] (Su et al.
// 2021).
struct RopeTable {
  Tensor cos;
  Tensor sin;
};
RopeTable make_rope_table(std::int64_t max_position, std::int64_t head_dim, double theta,
                          Device device);
// `frequencies` [head_dim / 2]: the angle that each pair advances per position.
RopeTable make_rope_table(std::int64_t max_position, const std::vector<double>& frequencies,
                          Device device);

// Rotates q and k heads in place; `qkv` must not be needed unrotated by anyone (a linear's output
// is not). positions int32 [n]. Saves positions; backward rotates the gradient back.
Tensor rope(const Tensor& qkv, const PackedHeads& heads, const Tensor& positions,
            const RopeTable& table);

struct AttentionOptions {
  bool causal = true;
  std::int64_t window = 0;  // > 0: a query sees at most this many keys back
  float scale = 0;          // multiplies q·k; 0: 1/sqrt(head_dim)
  // fp32 [distances, heads] or undefined: row `bias_zero + query − key` is added to the scores of
  // that query and key (relative position biases, Raffel et al. 2020). Tracked.
  Tensor distance_bias = {};
  std::int64_t bias_zero = 0;
  // Of texts that attend to themselves, where they are replayed with other borders.
  DeviceBorders borders = {};
};
float attention_scale(const AttentionOptions& options, const PackedHeads& heads);

// softmax(scale·q·kᵀ + bias)·v per sequence and head → [n, heads · head_dim]. `cu_seqlens` (batch
// + 1) are the borders of the packed sequences. Saved: qkv, out, log-sum-exp [heads, n]; never
// [seq, seq].
Tensor attention(const Tensor& qkv, const PackedHeads& heads, std::vector<std::int32_t> cu_seqlens,
                 const AttentionOptions& options = {});

// The same with queries q [n, heads · head_dim] of one text and keys and values kv [m, k heads | v
// heads] of another, sequence by sequence: every query sees all of its sequence's keys. `borders`
// are those of the queries, `kv_borders` those of the keys.
Tensor cross_attention(const Tensor& q, const Tensor& kv, const PackedHeads& heads,
                       std::vector<std::int32_t> borders, std::vector<std::int32_t> kv_borders,
                       const AttentionOptions& options = {});

}  // namespace tandem::runtime
