#include "runtime/kernels/shape_checks.h"

#include <algorithm>

#include "runtime/kernels/typed.h"

namespace tandem::runtime {
namespace {

bool is_compute_type(const Tensor& x) {
  return is_compute_dtype(x.dtype());
}

bool is_fp8(const Tensor& x) {
  return x.shape().rank() == 2 && (x.dtype() == DType::kF8E4M3 || x.dtype() == DType::kF8E5M2);
}

// An fp32 vector of `elements`, or nothing.
bool is_optional_fp32(const Tensor& x, std::int64_t elements) {
  return !x.defined() || (x.elements() == elements && x.dtype() == DType::kF32);
}

bool all_within(std::span<const std::int32_t> values, std::int64_t begin, std::int64_t end) {
  return std::ranges::all_of(values, [&](std::int64_t v) { return v >= begin && v < end; });
}

void check_borders(std::span<const std::int32_t> borders, std::int64_t tokens) {
  TANDEM_CHECK(!borders.empty() && borders.front() == 0 && borders.back() == tokens &&
                   std::ranges::is_sorted(borders),
               "borders of sequences must rise from 0 to {}", tokens);
}

void check_cache(const KvCacheView& cache, std::span<const std::int32_t> slots, std::int64_t rows) {
  TANDEM_CHECK(cache.keys.shape().rank() == 4 && cache.keys.shape() == cache.values.shape() &&
                   cache.keys.dtype() == cache.values.dtype(),
               "a cache of keys {} and values {}", cache.keys.str(), cache.values.str());
  TANDEM_CHECK(
      static_cast<std::int64_t>(slots.size()) == rows && all_within(slots, 0, cache.keys.dim(0)),
      "{} slots for {} rows in cache {}", slots.size(), rows, cache.keys.str());
}

void check_bias(const DistanceBias& bias, std::int64_t heads, std::int64_t lowest,
                std::int64_t highest) {
  if (!bias.values.defined()) return;
  const Tensor& values = bias.values;
  TANDEM_CHECK(values.shape().rank() == 2 && values.dtype() == DType::kF32 &&
                   values.dim(1) == heads && bias.zero + lowest >= 0 &&
                   bias.zero + highest < values.dim(0),
               "bias {} with distance 0 in row {} for {} heads and distances {} to {}",
               values.str(), bias.zero, heads, lowest, highest);
  TANDEM_CHECK(!bias.grad.defined() ||
                   (bias.grad.shape() == values.shape() && bias.grad.dtype() == DType::kF32),
               "bias {} with gradient {}", values.str(), bias.grad.str());
}

void check_attention_bias(const HeadsView& q, const AttentionShape& shape) {
  std::int64_t lowest = 0, highest = 0;
  for (std::size_t i = 0; i + 1 < shape.cu_seqlens_q.size(); ++i) {
    const std::int64_t queries = shape.cu_seqlens_q[i + 1] - shape.cu_seqlens_q[i];
    const std::int64_t keys = shape.cu_seqlens_k[i + 1] - shape.cu_seqlens_k[i];
    if (queries == 0 || keys == 0) continue;
    lowest = std::min(lowest, 1 - queries);
    highest = std::max(highest, keys - 1);
  }
  check_bias(shape.bias, q.heads, lowest, highest);
}

}  // namespace

void check_same_elements(const Tensor& a, const Tensor& b) {
  TANDEM_CHECK(a.elements() == b.elements(), "{} against {}", a.str(), b.str());
}

void check_same(const Tensor& a, std::initializer_list<const Tensor*> others) {
  for (const Tensor* b : others)
    TANDEM_CHECK(a.elements() == b->elements() && a.dtype() == b->dtype(), "{} against {}", a.str(),
                 b->str());
}

void check_matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                  const Tensor& out, const Tensor& bias) {
  TANDEM_CHECK(a.shape().rank() == 2 && b.shape().rank() == 2 && out.shape().rank() == 2,
               "matmul of {} and {} into {}", a.str(), b.str(), out.str());
  const std::int64_t m = a.dim(transpose_a ? 1 : 0), k = a.dim(transpose_a ? 0 : 1);
  const std::int64_t n = b.dim(transpose_b ? 0 : 1), b_k = b.dim(transpose_b ? 1 : 0);
  TANDEM_CHECK(k == b_k && out.dim(0) == m && out.dim(1) == n && a.dtype() == b.dtype() &&
                   is_compute_type(a) && is_compute_type(out),
               "matmul of {}{} and {}{} into {}", a.str(), transpose_a ? "ᵀ" : "", b.str(),
               transpose_b ? "ᵀ" : "", out.str());
  TANDEM_CHECK(is_optional_fp32(bias, n), "matmul into {} with bias {}", out.str(), bias.str());
}

void check_column_sum(const Tensor& dy, const Tensor& dbias) {
  TANDEM_CHECK(is_compute_type(dy) && is_optional_fp32(dbias, width_of(dy)),
               "column sums of {} into {}", dy.str(), dbias.str());
}

void check_gather(const Tensor& x, const Tensor& rows, const Tensor& out) {
  TANDEM_CHECK(width_of(x) == width_of(out) && rows.elements() == rows_of(out) &&
                   rows.dtype() == DType::kI32 && is_compute_type(x) && is_compute_type(out),
               "rows {} of {} into {}", rows.str(), x.str(), out.str());
}

void check_scatter(const Tensor& x, const Tensor& rows, const Tensor& out) {
  TANDEM_CHECK(width_of(x) == width_of(out) && rows.elements() == rows_of(x) &&
                   rows.dtype() == DType::kI32 && is_compute_type(x) &&
                   (out.dtype() == DType::kF32 || out.dtype() == x.dtype()),
               "{} added to rows {} of {}", x.str(), rows.str(), out.str());
}

void check_norm(const Tensor& rows, std::initializer_list<const Tensor*> same,
                std::initializer_list<const Tensor*> columns,
                std::initializer_list<const Tensor*> statistics) {
  for (const Tensor* tensor : same)
    TANDEM_CHECK(!tensor->defined() ||
                     (tensor->elements() == rows.elements() && tensor->dtype() == rows.dtype()),
                 "normalisation of {} with {}", rows.str(), tensor->str());
  for (const Tensor* tensor : columns)
    TANDEM_CHECK(is_optional_fp32(*tensor, width_of(rows)), "normalisation of {} with parameter {}",
                 rows.str(), tensor->str());
  for (const Tensor* tensor : statistics)
    TANDEM_CHECK(tensor->defined() && is_optional_fp32(*tensor, rows_of(rows)),
                 "normalisation of {} with statistic {}", rows.str(), tensor->str());
}

void check_heads(const HeadsView& heads) {
  TANDEM_CHECK(heads.rows.shape().rank() == 2 && heads.offset >= 0 &&
                   heads.offset + heads.heads * heads.head_dim <= heads.rows.dim(1) &&
                   is_compute_type(heads.rows),
               "{} heads of {} at column {} of {}", heads.heads, heads.head_dim, heads.offset,
               heads.rows.str());
}

void check_rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos,
                const Tensor& sin) {
  check_heads(heads);
  TANDEM_CHECK(positions.elements() == heads.rows.dim(0) && positions.dtype() == DType::kI32 &&
                   cos.shape() == sin.shape() && cos.shape().rank() == 2 &&
                   cos.dim(1) == heads.head_dim / 2 && cos.dtype() == DType::kF32 &&
                   sin.dtype() == DType::kF32,
               "rope of heads of {} in {} at positions {} with tables {} and {}", heads.head_dim,
               heads.rows.str(), positions.str(), cos.str(), sin.str());
}

void check_swiglu(const Tensor& gate_up, const Tensor& half) {
  TANDEM_CHECK(gate_up.elements() == 2 * half.elements() &&
                   width_of(gate_up) == 2 * width_of(half) && gate_up.dtype() == half.dtype(),
               "SwiGLU of {} with {}", gate_up.str(), half.str());
}

void check_attention(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                     const AttentionShape& shape, const Tensor& out, const Tensor& lse) {
  check_heads(q);
  check_heads(k);
  check_heads(v);
  TANDEM_CHECK(k.heads > 0 && q.heads % k.heads == 0 && v.heads == k.heads &&
                   q.head_dim == k.head_dim && v.head_dim == k.head_dim &&
                   k.rows.dim(0) == v.rows.dim(0) && q.rows.dtype() == k.rows.dtype() &&
                   q.rows.dtype() == v.rows.dtype(),
               "attention of {} query heads of {} in {} with {} and {} heads of {} and {} in {} "
               "and {}",
               q.heads, q.head_dim, q.rows.str(), k.heads, v.heads, k.head_dim, v.head_dim,
               k.rows.str(), v.rows.str());
  const std::int64_t n = q.rows.dim(0);
  TANDEM_CHECK(shape.cu_seqlens_q.size() == shape.cu_seqlens_k.size(),
               "attention over {} query and {} key borders", shape.cu_seqlens_q.size(),
               shape.cu_seqlens_k.size());
  check_borders(shape.cu_seqlens_q, n);
  check_borders(shape.cu_seqlens_k, k.rows.dim(0));
  TANDEM_CHECK(out.elements() == n * q.heads * q.head_dim && out.dtype() == q.rows.dtype() &&
                   lse.elements() == n * q.heads && lse.dtype() == DType::kF32,
               "attention of {} into {} and {}", q.rows.str(), out.str(), lse.str());
  check_attention_bias(q, shape);
  if (const Tensor& borders = shape.borders.values; borders.defined())
    TANDEM_CHECK(borders.dtype() == DType::kI32 && borders.device() == q.rows.device() &&
                     borders.elements() == static_cast<std::int64_t>(shape.cu_seqlens_q.size()) &&
                     std::ranges::equal(shape.cu_seqlens_q, shape.cu_seqlens_k) &&
                     !shape.bias.values.defined(),
                 "attention over borders in {} of {} query and {} key borders", borders.str(),
                 shape.cu_seqlens_q.size(), shape.cu_seqlens_k.size());
}

void check_cache_write(const HeadsView& k, const HeadsView& v, std::span<const std::int32_t> slots,
                       std::span<const std::int32_t> positions, const KvCacheView& cache) {
  check_heads(k);
  check_heads(v);
  check_cache(cache, slots, k.rows.dim(0));
  const Tensor& keys = cache.keys;
  TANDEM_CHECK(k.heads == keys.dim(2) && v.heads == keys.dim(2) && k.head_dim == keys.dim(3) &&
                   v.head_dim == keys.dim(3) && k.rows.dim(0) == v.rows.dim(0) &&
                   k.rows.dtype() == keys.dtype() && v.rows.dtype() == keys.dtype() &&
                   positions.size() == slots.size() && all_within(positions, 0, keys.dim(1)),
               "{} and {} at {} positions into cache {}", k.rows.str(), v.rows.str(),
               positions.size(), keys.str());
}

void check_decode(const HeadsView& q, const KvCacheView& cache, std::span<const std::int32_t> slots,
                  std::span<const std::int32_t> lengths, const DistanceBias& bias,
                  const Tensor& out) {
  check_heads(q);
  check_cache(cache, slots, q.rows.dim(0));
  const Tensor& keys = cache.keys;
  TANDEM_CHECK(keys.dim(2) > 0 && q.heads % keys.dim(2) == 0 && q.head_dim == keys.dim(3) &&
                   q.rows.dtype() == keys.dtype() && out.dtype() == keys.dtype() &&
                   out.elements() == q.rows.dim(0) * q.heads * q.head_dim &&
                   lengths.size() == slots.size() && all_within(lengths, 0, keys.dim(1) + 1),
               "{} query heads of {} in {} with {} lengths against cache {} into {}", q.heads,
               q.head_dim, q.rows.str(), lengths.size(), keys.str(), out.str());
  const auto longest = std::ranges::max_element(lengths);
  check_bias(bias, q.heads, 0, longest == lengths.end() ? 0 : std::max(0, *longest - 1));
}

void check_softmax(const Tensor& logits, const Tensor& targets,
                   std::initializer_list<const Tensor*> statistics) {
  TANDEM_CHECK(logits.shape().rank() == 2 && is_compute_type(logits), "softmax over {}",
               logits.str());
  TANDEM_CHECK(
      !targets.defined() || (targets.elements() == logits.dim(0) && targets.dtype() == DType::kI32),
      "softmax over {} with targets {}", logits.str(), targets.str());
  for (const Tensor* tensor : statistics)
    TANDEM_CHECK(is_optional_fp32(*tensor, logits.dim(0)), "softmax over {} with {}", logits.str(),
                 tensor->str());
}

void check_softmax_sums(const Tensor& sums, std::initializer_list<const Tensor*> statistics) {
  for (const Tensor* tensor : statistics)
    TANDEM_CHECK(sums.dtype() == DType::kF32 && sums.elements() % 3 == 0 &&
                     is_optional_fp32(*tensor, sums.elements() / 3),
                 "softmax sums {} with {}", sums.str(), tensor->str());
}

void check_add_dot(const Tensor& a, const Tensor& b, const Tensor& out) {
  TANDEM_CHECK(
      a.dtype() == DType::kF32 && is_optional_fp32(b, a.elements()) && is_optional_fp32(out, 1),
      "dot product of {} and {} into {}", a.str(), b.str(), out.str());
}

void check_concat(const Tensor& parts, const Tensor& out) {
  TANDEM_CHECK(parts.shape().rank() == 3 && out.shape().rank() == 2 && parts.dim(1) == out.dim(0) &&
                   out.dim(1) <= parts.dim(0) * parts.dim(2) && parts.dtype() == out.dtype(),
               "columns of {} into {}", parts.str(), out.str());
}

std::pair<std::int64_t, std::int64_t> rows_of_mask(const Tensor& x, const MaskDraws& draws) {
  if (draws.row_stride == 0) return {1, x.elements()};
  TANDEM_CHECK(x.shape().rank() == 2 && draws.row_stride >= x.dim(1),
               "a mask for {} with rows {} apart", x.str(), draws.row_stride);
  if (draws.row_stride == x.dim(1)) return {1, x.elements()};
  return {x.dim(0), x.dim(1)};
}

void check_columns(const Tensor& part, std::int64_t first, const Tensor& whole) {
  TANDEM_CHECK(part.shape().rank() == 2 && whole.shape().rank() == 2 &&
                   part.dim(0) == whole.dim(0) && first >= 0 &&
                   first + part.dim(1) <= whole.dim(1) && part.dtype() == whole.dtype() &&
                   is_compute_type(part),
               "{} as columns from {} of {}", part.str(), first, whole.str());
}

namespace {

void check_quantized(const QuantizedMatrix& weight) {
  const std::int64_t rows = weight.shape[0], columns = weight.shape[1];
  const bool nf4 = weight.format == QuantFormat::kNf4;
  const auto is = [](const Tensor& part, DType dtype, std::int64_t elements) {
    return part.defined() && part.dtype() == dtype && part.elements() == elements;
  };
  const bool sound =
      nf4 ? is(weight.codes, DType::kU8, rows * columns / 2) &&
                is(weight.scales, DType::kU8, rows * columns / kNf4Block) &&
                is(weight.first_block, DType::kI32, rows) && columns % kNf4Block == 0 &&
                weight.groups.dtype() == DType::kF32 && weight.groups.dim(1) == 2
          : is(weight.codes, DType::kI8, rows * columns) && is(weight.scales, DType::kF32, rows);
  TANDEM_CHECK(weight.defined() && sound, "a quantized {} of codes {} and scales {}",
               weight.shape.str(), weight.codes.str(), weight.scales.str());
}

}  // namespace

void check_quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                            const Tensor& out, const Tensor& bias) {
  check_quantized(weight);
  const std::int64_t rows = weight.shape[0], columns = weight.shape[1];
  TANDEM_CHECK(a.shape().rank() == 2 && out.shape().rank() == 2 && a.dim(0) == out.dim(0) &&
                   a.dim(1) == (transposed ? rows : columns) &&
                   out.dim(1) == (transposed ? columns : rows) && is_compute_type(a) &&
                   a.dtype() == out.dtype() && is_optional_fp32(bias, transposed ? 0 : rows),
               "product of {} with a quantized {} into {}", a.str(), weight.shape.str(), out.str());
}

void check_amax(const Tensor& x, const Tensor& amax) {
  TANDEM_CHECK(is_compute_type(x) && amax.elements() == 1 && amax.dtype() == DType::kF32,
               "largest magnitude of {} into {}", x.str(), amax.str());
}

void check_quantize_fp8(const Tensor& x, const Tensor& scale, const Fp8Matrix& out,
                        const Tensor& amax) {
  TANDEM_CHECK(is_compute_type(x) && x.shape().rank() == 2 && scale.defined() &&
                   is_optional_fp32(scale, 1) && out.inverse_scale.defined() &&
                   is_optional_fp32(out.inverse_scale, 1) && is_optional_fp32(amax, 1),
               "8-bit floats of {} with scale {}", x.str(), scale.str());
  const std::int64_t rows = x.dim(0), columns = x.dim(1);
  for (const auto& [codes, shape] : {std::pair{&out.rows, Shape{rows, fp8_row(columns)}},
                                     std::pair{&out.columns, Shape{columns, fp8_row(rows)}}})
    TANDEM_CHECK(!codes->defined() || (codes->shape() == shape && is_fp8(*codes)),
                 "{} as 8-bit floats {}", x.str(), codes->str());
}

void check_fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, const Tensor& out, const Tensor& bias) {
  const bool wide = a.codes.dtype() == DType::kF8E5M2 && b.codes.dtype() == DType::kF8E5M2;
  const std::int64_t m = a.codes.dim(0), n = b.codes.dim(0);
  TANDEM_CHECK(is_fp8(a.codes) && is_fp8(b.codes) && !wide && a.codes.dim(1) == b.codes.dim(1) &&
                   out.shape().rank() == 2 && out.dim(0) == m && out.dim(1) == n &&
                   is_compute_type(out) && is_optional_fp32(bias, n) &&
                   a.inverse_scale.elements() == 1 && b.inverse_scale.elements() == 1,
               "product of 8-bit floats {} and {} into {}", a.codes.str(), b.codes.str(),
               out.str());
}

void check_adamw_8bit(const Tensor& master, const Tensor& grad, const QuantizedMoment& exp_avg,
                      const QuantizedMoment& exp_avg_sq, const Tensor& compute) {
  check_adamw(master, grad, {}, {}, compute);
  const std::int64_t n = master.elements(), blocks = (n + kMomentBlock - 1) / kMomentBlock;
  for (const QuantizedMoment* moment : {&exp_avg, &exp_avg_sq})
    TANDEM_CHECK(moment->codes.dtype() == DType::kU8 && moment->codes.elements() == n &&
                     moment->maxima.dtype() == DType::kF32 && moment->maxima.elements() == blocks,
                 "AdamW of {} with a moment of {} and {}", master.str(), moment->codes.str(),
                 moment->maxima.str());
}

void check_stochastic_rounding(const Tensor& in, const ElementIndices& indices, const Tensor& out) {
  TANDEM_CHECK(in.dtype() == DType::kF32 && out.dtype() == DType::kBF16 &&
                   in.elements() == out.elements() && indices.width > 0,
               "stochastic rounding of {} into {}", in.str(), out.str());
}

void check_adamw(const Tensor& master, const Tensor& grad, const Tensor& exp_avg,
                 const Tensor& exp_avg_sq, const Tensor& compute) {
  const std::int64_t n = master.elements();
  const bool rounded = compute.defined();
  TANDEM_CHECK(master.dtype() == DType::kF32 && grad.elements() == n && is_compute_type(grad) &&
                   is_optional_fp32(exp_avg, n) && is_optional_fp32(exp_avg_sq, n) &&
                   (!rounded || (compute.elements() == n && is_compute_type(compute) &&
                                 compute.dtype() != DType::kF32 &&
                                 (grad.dtype() == DType::kF32 || grad.dtype() == compute.dtype()))),
               "AdamW of {} with gradient {}, moments {} and {}, compute weights {}", master.str(),
               grad.str(), exp_avg.str(), exp_avg_sq.str(), compute.str());
}

void check_sample(const Tensor& logits, const SamplingParams& params,
                  std::span<const float> uniform, std::span<const std::int32_t> tokens) {
  const std::int64_t rows = rows_of(logits);
  TANDEM_CHECK(logits.dtype() == DType::kF32 && static_cast<std::int64_t>(tokens.size()) == rows &&
                   (params.temperature <= 0 || static_cast<std::int64_t>(uniform.size()) == rows),
               "sampling from {} with {} random numbers into {} tokens", logits.str(),
               uniform.size(), tokens.size());
}

}  // namespace tandem::runtime
