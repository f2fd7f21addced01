// The one list of kernels a device must provide. `cpu/` implements it and is the reference the
// others are tested against; `meta/` checks shapes and moves no data; `cuda/` runs on GPUs
// (`no_cuda/` is its link-time stub).
//
// Conventions. All tensors are contiguous, row-major, on this backend's device. Outputs are
// allocated by the caller and overwritten, unless the name or comment says "accumulates". Compute
// type `T` is fp32, bf16 or fp16: all floating tensors of a call have it unless stated; statistics,
// losses and parameter gradients are fp32. Sums run in a fixed order in fp32 or wider: equal inputs
// give equal bits, whatever the number of threads (matmul: for an equal number of threads). [n] is
// the number of tokens; sequences are packed one after the other without padding, `cu_seqlens`
// (host, batch + 1 entries, starting at 0) gives their borders. Shapes are checked by the ops in
// autograd, not here.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "runtime/kernels/element_indices.h"
#include "runtime/kernels/replay.h"
#include "runtime/quant/fp8.h"
#include "runtime/quant/quantized_matrix.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

// Heads inside packed rows: of each row of `rows` [n, width], the columns [offset, offset + heads *
// head_dim).
struct HeadsView {
  Tensor rows;
  std::int64_t offset = 0;
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
};

// A number added to the scaled score of a query and a key that follows from how far apart they are
// (Raffel et al. 2020): values[zero + query − key, head], with positions counted so that the last
// query meets the last key. Distances outside are not met.
struct DistanceBias {
  Tensor values;  // fp32 [distances, query heads]; undefined: no bias
  Tensor grad;    // as values; overwritten by attention_backward where defined
  std::int64_t zero = 0;
};

// Borders of packed sequences for work that is replayed (replay.h), which then finds other borders
// where these lie.
struct DeviceBorders {
  Tensor values;             // int32 [batch + 1] on the device; undefined: there are none
  std::int64_t longest = 0;  // no sequence will ever have more rows
};

struct AttentionShape {
  std::span<const std::int32_t> cu_seqlens_q;
  std::span<const std::int32_t> cu_seqlens_k;
  bool causal = true;       // with unequal lengths the last query sees the last key
  float scale = 1.0f;       // multiplies q·k
  std::int64_t window = 0;  // > 0: a query sees at most this many keys back (sliding window)
  DistanceBias bias = {};
  DeviceBorders borders = {};  // where defined, the same as both lists; without a bias
};

// Integers that the host knows and a kernel reads. Where `on_device` is defined (int32, as many) it
// holds them already; else the backend takes them there.
struct IndexList {
  std::span<const std::int32_t> values;
  Tensor on_device;

  IndexList() = default;
  template <std::convertible_to<std::span<const std::int32_t>> Values>
  IndexList(const Values& values, Tensor on_device = {})
      : values(values), on_device(std::move(on_device)) {}
};

// What a person chooses about a device.
struct DeviceOptions {
  bool tf32 = false;   // products of fp32 matrices may round their factors to 10 bits of
                       // mantissa
  bool graphs = true;  // work that is repeated (replay.h) is recorded and submitted as a whole
  bool gelu_fusion = false;  // products of 16 bits may make gelu of sums that are not rounded yet
};

// Keys and values of one layer: [slots, capacity, kv_heads, head_dim] each.
struct KvCacheView {
  Tensor keys;
  Tensor values;
};

// In double: 1 − beta2 of an fp32 beta2 is off by 1e-5.
struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double grad_scale = 1;  // multiplies the gradient (clipping, loss scale, averaging)
  std::int64_t step = 1;  // 1 for the first update
};

// One moment of an optimizer in 8 bits: codes of a dynamic map (quant/dynamic_map.h) relative to
// the largest magnitude of every kMomentBlock neighbours.
inline constexpr std::int64_t kMomentBlock = 256;
struct QuantizedMoment {
  Tensor codes;   // u8 [n]
  Tensor maxima;  // fp32 [⌈n / kMomentBlock⌉]
};

struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  std::int64_t top_k = 0;    // 0: off
  float top_p = 1.0f;        // 1: off
};

// Which numbers a mask is drawn from: element (i, j) of [n, width] has number first + i ·
// row_stride
// + j of Philox(seed, purpose). Rows that follow each other without a gap have stride 0.
struct MaskDraws {
  std::uint64_t seed = 0;
  std::string_view purpose;
  std::uint64_t first = 0;
  std::int64_t row_stride = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  // Waits until everything issued has run.
  virtual void synchronize() = 0;
  // Devices without a choice ignore it.
  virtual void set_options(const DeviceOptions& /*options*/) {}
  // For work that will be repeated; by default it is issued anew every time.
  virtual std::unique_ptr<Replay> make_replay() { return std::make_unique<Replay>(); }
  // Whether that spares anything, so that it is worth while to make work the same every time.
  virtual bool replays() const { return false; }

  // ---- memory and element-wise

  virtual void fill(Tensor& out, float value) = 0;
  // Same element count; converts between fp32 and bf16, fp16 or fp64, copies integers of equal
  // type.
  virtual void copy(const Tensor& in, Tensor& out) = 0;
  // out = a + b. out may be a or b. Operands may be fp32 beside 16 bits of one kind; the sum is
  // rounded once to out's type.
  virtual void add(const Tensor& a, const Tensor& b, Tensor& out) = 0;
  // x *= factor
  virtual void scale(Tensor& x, float factor) = 0;
  // out = x · mask / (1 - p): an element is kept when its uniform number is at least p. The same
  // call with dy gives the backward.
  virtual void dropout(const Tensor& x, float p, const MaskDraws& draws, Tensor& out) = 0;
  // The columns [first, first + part) of out [n, width] += factor · x [n, part].
  virtual void add_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) = 0;
  // out [n, part] = factor · the columns [first, first + part) of x [n, width].
  virtual void take_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) = 0;
  // out[i] = x[rows[i]] for x [n, width], rows int32 [m] (host or device order of this backend).
  virtual void gather_rows(const Tensor& x, const Tensor& rows, Tensor& out) = 0;
  // out[rows[i]] += x[i], in the order of i. out is not cleared.
  virtual void scatter_add_rows(const Tensor& x, const Tensor& rows, Tensor& out) = 0;

  // ---- matrix products

  // out[m, n] = op(a)[m, k] · op(b)[k, n] (+ out when accumulate) (+ bias[n]); op transposes the
  // stored matrix. a and b have one type T; out has it too, or one of the two is fp32; sums run in
  // fp32. bias (fp32) may be undefined.
  virtual void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      Tensor& out, bool accumulate = false, const Tensor& bias = {}) = 0;
  // out[m, n] = x[m, k] · weight[n, k]ᵀ (+ bias[n]), for rows so few that reading the weight is
  // what takes time. matmul, but for the order of its sums.
  virtual void few_rows_matmul(const Tensor& x, const Tensor& weight, Tensor& out,
                               const Tensor& bias = {});
  // out[m, out_rows] = a[m, in] · weightᵀ (+ bias[out_rows]); with `transposed` out[m, in] = a[m,
  // out_rows] · weight, without bias. The weight's values are those of a's type; they exist during
  // the call, in pieces of a bounded size. a and out have one type.
  virtual void quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                                Tensor& out, const Tensor& bias = {}) = 0;
  // dbias[n] (fp32) = column sums of dy [m, n] (+ dbias when accumulate).
  virtual void column_sum(const Tensor& dy, Tensor& dbias, bool accumulate) = 0;
  // Both parameter gradients of a linear layer, fp32: dweight[out, in] = dyᵀ · x and dbias[out] =
  // column sums of dy [n, out] (each + itself when it accumulates). x and dy have one type. A
  // device whose product can add up its operand on the way reads dy once.
  virtual void linear_gradients(const Tensor& dy, const Tensor& x, Tensor& dweight,
                                bool accumulate_weight, Tensor& dbias, bool accumulate_bias);
  // product[m, n] = x[m, k] · weight[n, k]ᵀ (+ bias[n]) and y = gelu_forward of it. A device that
  // fuses_gelu() does not read the product for it, nor round it before, where it can (tanh form, 16
  // bits). bias (fp32) may be undefined, all else has one type.
  virtual void product_and_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                bool tanh, Tensor& product, Tensor& y);
  // Whether it is wished (DeviceOptions::gelu_fusion) on a device that can.
  virtual bool fuses_gelu() const { return false; }
  // gelu_backward of the product dy · weight: dx[n, in] = (dy[n, out] · weight[out, in]) ·
  // gelu'(x). A device whose product can do it on the way neither writes the product nor reads it.
  virtual void gelu_backward_of_product(const Tensor& dy, const Tensor& weight, const Tensor& x,
                                        bool tanh, Tensor& dx);

  // ---- products of 8-bit floats (quant/fp8.h)

  // amax fp32 [1] = max(amax, |x| of every element); NaN where there is one.
  virtual void add_amax(const Tensor& x, Tensor& amax) = 0;
  // scale fp32 [1] = fp8_scale(amax, format, 0, 1).
  virtual void fp8_scale_of(const Tensor& amax, DType format, Tensor& scale) = 0;
  // out's codes are those of x [rows, columns] times scale fp32 [1], as base/float8.h rounds, in
  // each of the two orders for which out has room; inverse_scale = 1 / scale. amax as add_amax,
  // where it is defined.
  virtual void quantize_fp8(const Tensor& x, const Tensor& scale, Fp8Matrix& out, Tensor& amax) = 0;
  // out[m, n] = a[m, k] · b[n, k]ᵀ (+ out when accumulate) (+ bias[n]). At most one of the two is
  // e5m2. Sums run in fp32 over products of codes; scales, then bias, follow. bias (fp32) may be
  // undefined.
  virtual void fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate = false,
                          const Tensor& bias = {}) = 0;

  // ---- embedding

  // out[i] = weight[tokens[i] - first_row] for tokens int32 [n], weight [rows, width]; rows outside
  // the local range give zeros (vocab-parallel ranks add up).
  virtual void embedding_forward(const Tensor& tokens, const Tensor& weight, std::int64_t first_row,
                                 Tensor& out) = 0;
  // dweight (fp32) accumulates dy rows in token order; rows outside the range are skipped.
  virtual void embedding_backward(const Tensor& tokens, const Tensor& dy, std::int64_t first_row,
                                  Tensor& dweight) = 0;

  // ---- normalisation (weight and bias fp32)

  // h = x (+ residual when defined; then h is written, else h is undefined); rstd[i] =
  // 1/sqrt(mean(h²) + eps); y = h * rstd * weight. x, residual, h, y: T [n, width]; rstd fp32 [n].
  // (Zhang & Sennrich 2019)
  virtual void rms_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                float eps, Tensor& h, Tensor& y, Tensor& rstd) = 0;
  // dh = (dh_in when defined) + gradient of y through h. dweight (fp32) = Σ dy·h·rstd (+ dweight
  // when accumulate).
  virtual void rms_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& rstd,
                                 const Tensor& dy, const Tensor& dh_in, Tensor& dh, Tensor& dweight,
                                 bool accumulate) = 0;
  // As above with mean and bias; statistics mean, rstd fp32 [n]. bias may be undefined. (Ba et al.
  // 2016)
  virtual void layer_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                                  const Tensor& bias, float eps, Tensor& h, Tensor& y, Tensor& mean,
                                  Tensor& rstd) = 0;
  virtual void layer_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& mean,
                                   const Tensor& rstd, const Tensor& dy, const Tensor& dh_in,
                                   Tensor& dh, Tensor& dweight, Tensor& dbias, bool accumulate) = 0;

  // ---- position and activation

  // Rotates pairs (i, i + head_dim/2) of every head in place by the angle positions[row]: Hugging
  // Face's rotate-half order (Su et al. 2021). cos, sin: fp32 [max_position, head_dim / 2]. inverse
  // rotates back (backward).
  virtual void rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos,
                    const Tensor& sin, bool inverse) = 0;
  // out[n, f] = silu(gate) * up for gate_up [n, 2f] = gate|up. (Shazeer 2020)
  virtual void swiglu_forward(const Tensor& gate_up, Tensor& out) = 0;
  virtual void swiglu_backward(const Tensor& gate_up, const Tensor& dy, Tensor& dgate_up) = 0;
  // tanh: GPT-2's gelu_new; else exact erf.
  virtual void gelu_forward(const Tensor& x, bool tanh, Tensor& y) = 0;
  // dx may be dy.
  virtual void gelu_backward(const Tensor& x, bool tanh, const Tensor& dy, Tensor& dx) = 0;
  // out[n, f] = gelu(gate) * up for gate_up [n, 2f] = gate|up. (Shazeer 2020)
  virtual void geglu_forward(const Tensor& gate_up, bool tanh, Tensor& out) = 0;
  virtual void geglu_backward(const Tensor& gate_up, bool tanh, const Tensor& dy,
                              Tensor& dgate_up) = 0;
  virtual void relu_forward(const Tensor& x, Tensor& y) = 0;
  virtual void relu_backward(const Tensor& x, const Tensor& dy, Tensor& dx) = 0;
  virtual void tanh_forward(const Tensor& x, Tensor& y) = 0;
  // From the output: dx = dy·(1 − y²).
  virtual void tanh_backward(const Tensor& y, const Tensor& dy, Tensor& dx) = 0;

  // ---- attention

  // out [n, heads * head_dim] = softmax(scale · q kᵀ) v per sequence and head; kv heads serve heads
  // / kv_heads query heads each. lse fp32 [heads, n] holds log-sum-exp per row. Memory beyond
  // outputs: O(threads · block · seq) at most, never [seq, seq] per head. (Dao 2023)
  virtual void attention_forward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                                 const AttentionShape& shape, Tensor& out, Tensor& lse) = 0;
  // Writes (overwrites) dq, dk, dv into the given columns of packed gradients.
  virtual void attention_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                                  const Tensor& out, const Tensor& lse, const Tensor& dout,
                                  const AttentionShape& shape, const HeadsView& dq,
                                  const HeadsView& dk, const HeadsView& dv) = 0;
  // Stores row i of k and v at cache[slots[i], positions[i]].
  virtual void kv_cache_write(const HeadsView& k, const HeadsView& v, const IndexList& slots,
                              const IndexList& positions, KvCacheView& cache) = 0;
  // One new query per row, at position lengths[i] − 1: out[i] attends to cache[slots[i], 0 ..
  // lengths[i]).
  virtual void attention_decode(const HeadsView& q, const KvCacheView& cache,
                                const IndexList& slots, const IndexList& lengths, float scale,
                                std::int64_t window, const DistanceBias& bias, Tensor& out) = 0;

  // ---- softmax over (a slice of) the vocabulary

  // Of logits fp32 [n, v]: maximum[i] = max_j logits[i, j].
  virtual void row_max(const Tensor& logits, Tensor& maximum) = 0;
  // sums fp32 [n, 3] = { Σ_j e_j, Σ_j e_j·(x_j − maximum), x_target − maximum or 0 when the target
  // is not in [first_column, first_column + v) } with e_j = exp(x_j − maximum[i]); targets int32
  // [n].
  virtual void softmax_sums(const Tensor& logits, const Tensor& maximum, const Tensor& targets,
                            std::int64_t first_column, Tensor& sums) = 0;
  // Both of the above, for logits that no other rank has a part of. A card reads them once.
  virtual void row_max_and_sums(const Tensor& logits, const Tensor& targets,
                                std::int64_t first_column, Tensor& maximum, Tensor& sums);
  // From the two above, after they were combined over ranks; all fp32 [n]: lse = maximum + log S,
  // log_prob = x_target − lse, entropy = log S − Σ e·(x − maximum) / S, with S = Σ e.
  virtual void softmax_stats(const Tensor& maximum, const Tensor& sums, Tensor& lse,
                             Tensor& log_prob, Tensor& entropy) = 0;
  // out fp32 [1] += Σ_i a[i]·b[i] for fp32 [n] (summed in fp64).
  virtual void add_dot(const Tensor& a, const Tensor& b, Tensor& out) = 0;
  // out[i, r·width + j] = parts[r, i, j] for parts fp32 [ranks, n, width], out fp32 [n, columns <=
  // ranks·width].
  virtual void concat_columns(const Tensor& parts, Tensor& out) = 0;
  // dlogits (T or fp32; may not alias) = g_logp[i]·(1{j = target} − p_j) + g_entropy[i]·(−p_j·(log
  // p_j + H_i)), p_j = exp(x_j − lse[i]). g_entropy and entropy may be undefined. All statistics
  // fp32 [n].
  virtual void softmax_backward(const Tensor& logits, const Tensor& lse, const Tensor& targets,
                                std::int64_t first_column, const Tensor& g_logp,
                                const Tensor& entropy, const Tensor& g_entropy,
                                Tensor& dlogits) = 0;

  // ---- optimizer and reductions

  // One fused pass over a flat span: master fp32, grad T or fp32, moments fp32; when compute is
  // defined (T) the updated master is also rounded into it. Decoupled weight decay (Loshchilov &
  // Hutter 2019), bias correction by step.
  virtual void adamw(Tensor& master, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_sq,
                     Tensor& compute, const AdamWStep& step) = 0;
  // The same with moments in 8 bits: they are decoded, updated in fp32 and coded again, exp_avg
  // with the signed map and exp_avg_sq with the unsigned one.
  virtual void adamw_8bit(Tensor& master, const Tensor& grad, QuantizedMoment& exp_avg,
                          QuantizedMoment& exp_avg_sq, Tensor& compute, const AdamWStep& step) = 0;
  // Rounds fp32 to bf16, to one of the two neighbours with the probability of being near it, so
  // that the mean is the number itself: 16 bits of Philox(seed, purpose), drawn by the index of the
  // element in the whole matrix, are added below bf16's last one, and the rest is cut off. Infinity
  // and not-a-numbers stay.
  virtual void round_stochastically(const Tensor& in, std::uint64_t seed, std::string_view purpose,
                                    const ElementIndices& indices, Tensor& out) = 0;
  // Σ x² over all parts, in fp64, fixed order. The host waits for the device once.
  virtual double sum_of_squares(std::span<const Tensor> parts) = 0;
  double sum_of_squares(const Tensor& x) { return sum_of_squares(std::span(&x, 1)); }
  // True when every element is finite.
  virtual bool all_finite(const Tensor& x) = 0;

  // ---- generation

  // tokens int32 [b], one draw per row of logits fp32 [b, v] after temperature, top-k, top-p;
  // uniform[i] in [0, 1) is the random number of row i. Greedy picks the lowest index among equals.
  virtual void sample(const Tensor& logits, const SamplingParams& params,
                      std::span<const float> uniform, std::span<std::int32_t> tokens) = 0;
};

// The backend of a device; lives for the whole process. Throws Error where the device is not
// available.
Backend& backend_of(Device device);
inline Backend& backend_of(const Tensor& tensor) {
  return backend_of(tensor.device());
}

}  // namespace tandem::runtime
