#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime {
namespace {

// Rows and columns of a tensor seen as a matrix: the last dimension is the width.
std::int64_t width_of(const Tensor& x) {
  return x.dim(-1);
}
std::int64_t rows_of(const Tensor& x) {
  return width_of(x) == 0 ? 0 : x.elements() / width_of(x);
}

}  // namespace

void check_same_elements(const Tensor& a, const Tensor& b) {
  TANDEM_CHECK(a.elements() == b.elements(), "{} against {}", a.str(), b.str());
}

void check_matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                  const Tensor& out, const Tensor& bias) {
  TANDEM_CHECK(a.shape().rank() == 2 && b.shape().rank() == 2 && out.shape().rank() == 2,
               "matmul of {} and {} into {}", a.str(), b.str(), out.str());
  const std::int64_t m = a.dim(transpose_a ? 1 : 0), k = a.dim(transpose_a ? 0 : 1);
  const std::int64_t n = b.dim(transpose_b ? 0 : 1), b_k = b.dim(transpose_b ? 1 : 0);
  TANDEM_CHECK(k == b_k && out.dim(0) == m && out.dim(1) == n && a.dtype() == b.dtype(),
               "matmul of {}{} and {}{} into {}", a.str(), transpose_a ? "ᵀ" : "", b.str(),
               transpose_b ? "ᵀ" : "", out.str());
  TANDEM_CHECK(!bias.defined() || bias.elements() == n, "matmul into {} with bias {}", out.str(),
               bias.str());
}

void check_gather(const Tensor& x, const Tensor& rows, const Tensor& out) {
  TANDEM_CHECK(width_of(x) == width_of(out) && rows.elements() == rows_of(out) &&
                   rows.dtype() == DType::kI32,
               "rows {} of {} into {}", rows.str(), x.str(), out.str());
}

void check_scatter(const Tensor& x, const Tensor& rows, const Tensor& out) {
  TANDEM_CHECK(
      width_of(x) == width_of(out) && rows.elements() == rows_of(x) && rows.dtype() == DType::kI32,
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
    TANDEM_CHECK(!tensor->defined() ||
                     (tensor->elements() == width_of(rows) && tensor->dtype() == DType::kF32),
                 "normalisation of {} with parameter {}", rows.str(), tensor->str());
  for (const Tensor* tensor : statistics)
    TANDEM_CHECK(tensor->elements() == rows_of(rows) && tensor->dtype() == DType::kF32,
                 "normalisation of {} with statistic {}", rows.str(), tensor->str());
}

void check_heads(const HeadsView& heads) {
  TANDEM_CHECK(heads.rows.shape().rank() == 2 && heads.offset >= 0 &&
                   heads.offset + heads.heads * heads.head_dim <= heads.rows.dim(1),
               "{} heads of {} at column {} of {}", heads.heads, heads.head_dim, heads.offset,
               heads.rows.str());
}

void check_attention(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                     const AttentionShape& shape, const Tensor& out, const Tensor& lse) {
  check_heads(q);
  check_heads(k);
  check_heads(v);
  TANDEM_CHECK(k.heads > 0 && q.heads % k.heads == 0 && v.heads == k.heads &&
                   q.head_dim == k.head_dim && v.head_dim == k.head_dim,
               "attention of {} query heads of {} with {} and {} heads of {} and {}", q.heads,
               q.head_dim, k.heads, v.heads, k.head_dim, v.head_dim);
  const std::int64_t n = q.rows.dim(0);
  TANDEM_CHECK(shape.cu_seqlens_q.size() == shape.cu_seqlens_k.size() &&
                   !shape.cu_seqlens_q.empty() && shape.cu_seqlens_q.back() == n &&
                   shape.cu_seqlens_k.back() == k.rows.dim(0),
               "attention over {} query and {} key borders of {} and {}", shape.cu_seqlens_q.size(),
               shape.cu_seqlens_k.size(), q.rows.str(), k.rows.str());
  TANDEM_CHECK(out.elements() == n * q.heads * q.head_dim && lse.elements() == n * q.heads &&
                   out.dtype() == q.rows.dtype(),
               "attention of {} into {} and {}", q.rows.str(), out.str(), lse.str());
}

void check_softmax(const Tensor& logits, std::initializer_list<const Tensor*> statistics) {
  TANDEM_CHECK(logits.shape().rank() == 2, "softmax over {}", logits.str());
  for (const Tensor* tensor : statistics)
    TANDEM_CHECK(!tensor->defined() || tensor->elements() == logits.dim(0),
                 "softmax over {} with {}", logits.str(), tensor->str());
}

void check_softmax_stats(const Tensor& maximum, const Tensor& sums, const Tensor& lse,
                         const Tensor& log_prob, const Tensor& entropy) {
  TANDEM_CHECK(sums.elements() == 3 * maximum.elements(), "softmax sums {} with maxima {}",
               sums.str(), maximum.str());
  check_same_elements(maximum, lse);
  check_same_elements(maximum, log_prob);
  check_same_elements(maximum, entropy);
}

void check_concat(const Tensor& parts, const Tensor& out) {
  TANDEM_CHECK(parts.shape().rank() == 3 && out.shape().rank() == 2 && parts.dim(1) == out.dim(0) &&
                   out.dim(1) <= parts.dim(0) * parts.dim(2) && parts.dtype() == out.dtype(),
               "columns of {} into {}", parts.str(), out.str());
}

}  // namespace tandem::runtime
