// Shapes without data: every kernel checks what it is given, says what it would do (kernel_work.h)
// and does nothing. A step on this backend allocates what the same step allocates on the real one
// (device.h), so its peak predicts the real peak.
#include <algorithm>

#include "runtime/kernels/backends.h"
#include "runtime/kernels/kernel_work.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime {
namespace {

using Tensors = std::initializer_list<const Tensor*>;
using Kind = KernelWork::Kind;

double bytes_of(Tensors tensors) {
  double bytes = 0;
  for (const Tensor* tensor : tensors)
    if (tensor->defined()) bytes += static_cast<double>(tensor->bytes());
  return bytes;
}

double bytes_of(const HeadsView& heads) {
  return static_cast<double>(heads.rows.dim(0) * heads.heads * heads.head_dim *
                             size_of(heads.rows.dtype()));
}

void say(Kind kind, DType dtype, double operations, double bytes) {
  if (KernelObserver* observer = KernelObserver::current())
    observer->on_kernel({kind, dtype, operations, bytes});
}

// One pass over tensors: so many operations for each element of the first.
void say_pass(double operations, Tensors tensors) {
  const Tensor& first = **tensors.begin();
  say(Kind::kElementwise, first.dtype(), operations * static_cast<double>(first.elements()),
      bytes_of(tensors));
}

void say_matmul(const Tensor& a, const Tensor& out, bool accumulate, double other_bytes) {
  say(Kind::kMatmul, a.dtype(),
      2.0 * static_cast<double>(a.elements()) * static_cast<double>(out.dim(1)),
      bytes_of({&a, &out}) + (accumulate ? bytes_of({&out}) : 0) + other_bytes);
}

// `products` of queries with keys, or of what has their sizes.
void say_attention(double products, const HeadsView& q, const AttentionShape& shape, double bytes) {
  say(Kind::kAttention, q.rows.dtype(),
      2.0 * products * visible_pairs(shape) * static_cast<double>(q.heads * q.head_dim), bytes);
}

// Operations for an element where a function such as exp or tanh is evaluated, and where it is
// not, as vectorised code has them.
constexpr double kCurve = 16, kFew = 4;

class MetaBackend final : public Backend {
 public:
  Device device() const override { return {DeviceType::kMeta, 0}; }
  void synchronize() override {}

  void fill(Tensor& out, float value) override { say_pass(0, {&out}); }
  void copy(const Tensor& in, Tensor& out) override {
    check_same_elements(in, out);
    say_pass(1, {&in, &out});
  }
  void add(const Tensor& a, const Tensor& b, Tensor& out) override {
    check_same_elements(a, b);
    check_same_elements(a, out);
    say_pass(1, {&a, &b, &out});
  }
  void scale(Tensor& x, float factor) override { say_pass(1, {&x, &x}); }
  void dropout(const Tensor& x, float p, const MaskDraws& draws, Tensor& out) override {
    check_same(x, {&out});
    say_pass(kCurve, {&x, &out});
  }
  void add_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override {
    check_columns(x, first, out);
    say_pass(2, {&x, &x, &x});
  }
  void take_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override {
    check_columns(out, first, x);
    say_pass(1, {&out, &out});
  }
  void gather_rows(const Tensor& x, const Tensor& rows, Tensor& out) override {
    check_gather(x, rows, out);
    say_pass(1, {&out, &out, &rows});
  }
  void scatter_add_rows(const Tensor& x, const Tensor& rows, Tensor& out) override {
    check_scatter(x, rows, out);
    say_pass(1, {&x, &x, &x, &rows});
  }

  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
              bool accumulate, const Tensor& bias) override {
    check_matmul(a, transpose_a, b, transpose_b, out, bias);
    say_matmul(a, out, accumulate, bytes_of({&b, &bias}));
  }
  void quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                        Tensor& out, const Tensor& bias) override {
    check_quantized_matmul(a, weight, transposed, out, bias);
    say_matmul(a, out, false, static_cast<double>(weight.bytes()));
  }
  void column_sum(const Tensor& dy, Tensor& dbias, bool accumulate) override {
    check_column_sum(dy, dbias);
    say_pass(1, {&dy, &dbias});
  }

  void add_amax(const Tensor& x, Tensor& amax) override {
    check_amax(x, amax);
    say_pass(1, {&x});
  }
  void fp8_scale_of(const Tensor& amax, DType format, Tensor& scale) override {
    say_pass(kFew, {&amax, &scale});
  }
  void quantize_fp8(const Tensor& x, const Tensor& scale, Fp8Matrix& out, Tensor& amax) override {
    check_quantize_fp8(x, scale, out, amax);
    say_pass(kFew, {&x, &out.rows, &out.columns});
  }
  void fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate,
                  const Tensor& bias) override {
    check_fp8_matmul(a, b, out, bias);
    say_matmul(a.codes, out, accumulate, bytes_of({&b.codes, &bias}));
  }

  void embedding_forward(const Tensor& tokens, const Tensor& weight, std::int64_t first_row,
                         Tensor& out) override {
    check_gather(weight, tokens, out);
    say_pass(1, {&out, &out, &tokens});
  }
  void embedding_backward(const Tensor& tokens, const Tensor& dy, std::int64_t first_row,
                          Tensor& dweight) override {
    check_scatter(dy, tokens, dweight);
    TANDEM_CHECK(dweight.dtype() == DType::kF32, "embedding gradient {}", dweight.str());
    say_pass(1, {&dy, &dy, &dy, &tokens});
  }

  void rms_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps,
                        Tensor& h, Tensor& y, Tensor& rstd) override {
    check_norm(x, {&residual, &h, &y}, {&weight}, {&rstd});
    say_pass(kFew, {&x, &residual, &h, &y, &weight, &rstd});
  }
  void rms_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& rstd,
                         const Tensor& dy, const Tensor& dh_in, Tensor& dh, Tensor& dweight,
                         bool accumulate) override {
    check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight}, {&rstd});
    say_pass(2 * kFew, {&h, &dy, &dh_in, &dh, &weight, &dweight, &rstd});
  }
  void layer_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                          const Tensor& bias, float eps, Tensor& h, Tensor& y, Tensor& mean,
                          Tensor& rstd) override {
    check_norm(x, {&residual, &h, &y}, {&weight, &bias}, {&mean, &rstd});
    say_pass(kFew, {&x, &residual, &h, &y, &weight, &bias, &mean, &rstd});
  }
  void layer_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& mean,
                           const Tensor& rstd, const Tensor& dy, const Tensor& dh_in, Tensor& dh,
                           Tensor& dweight, Tensor& dbias, bool accumulate) override {
    check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight, &dbias}, {&mean, &rstd});
    say_pass(2 * kFew, {&h, &dy, &dh_in, &dh, &weight, &dweight, &dbias, &mean, &rstd});
  }

  void rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos, const Tensor& sin,
            bool inverse) override {
    check_rope(heads, positions, cos, sin);
    const double bytes = bytes_of(heads);
    say(Kind::kElementwise, heads.rows.dtype(),
        kFew * bytes / static_cast<double>(size_of(heads.rows.dtype())), 2 * bytes);
  }
  void swiglu_forward(const Tensor& gate_up, Tensor& out) override {
    check_swiglu(gate_up, out);
    say_pass(kCurve, {&out, &gate_up});
  }
  void swiglu_backward(const Tensor& gate_up, const Tensor& dy, Tensor& dgate_up) override {
    check_same(gate_up, {&dgate_up});
    check_swiglu(gate_up, dy);
    say_pass(kCurve + kFew, {&dy, &gate_up, &dgate_up});
  }
  void gelu_forward(const Tensor& x, bool tanh, Tensor& y) override {
    check_same(x, {&y});
    say_pass(kCurve, {&x, &y});
  }
  void gelu_backward(const Tensor& x, bool tanh, const Tensor& dy, Tensor& dx) override {
    check_same(x, {&dy, &dx});
    say_pass(kCurve + kFew, {&x, &dy, &dx});
  }
  void geglu_forward(const Tensor& gate_up, bool tanh, Tensor& out) override {
    swiglu_forward(gate_up, out);
  }
  void geglu_backward(const Tensor& gate_up, bool tanh, const Tensor& dy,
                      Tensor& dgate_up) override {
    swiglu_backward(gate_up, dy, dgate_up);
  }
  void relu_forward(const Tensor& x, Tensor& y) override {
    check_same(x, {&y});
    say_pass(1, {&x, &y});
  }
  void relu_backward(const Tensor& x, const Tensor& dy, Tensor& dx) override {
    check_same(x, {&dy, &dx});
    say_pass(1, {&x, &dy, &dx});
  }
  void tanh_forward(const Tensor& x, Tensor& y) override {
    check_same(x, {&y});
    say_pass(kCurve, {&x, &y});
  }
  void tanh_backward(const Tensor& y, const Tensor& dy, Tensor& dx) override {
    check_same(y, {&dy, &dx});
    say_pass(kFew, {&y, &dy, &dx});
  }

  void attention_forward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                         const AttentionShape& shape, Tensor& out, Tensor& lse) override {
    check_attention(q, k, v, shape, out, lse);
    say_attention(2, q, shape, bytes_of(q) + bytes_of(k) + bytes_of(v) + bytes_of({&out, &lse}));
  }
  void attention_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                          const Tensor& out, const Tensor& lse, const Tensor& dout,
                          const AttentionShape& shape, const HeadsView& dq, const HeadsView& dk,
                          const HeadsView& dv) override {
    check_attention(q, k, v, shape, out, lse);
    check_attention(dq, dk, dv, shape, dout, lse);
    say_attention(5, q, shape,
                  2 * (bytes_of(q) + bytes_of(k) + bytes_of(v)) + bytes_of({&out, &lse, &dout}));
  }
  void kv_cache_write(const HeadsView& k, const HeadsView& v, const IndexList& slots,
                      const IndexList& positions, KvCacheView& cache) override {
    check_cache_write(k, v, slots.values, positions.values, cache);
    say(Kind::kElementwise, k.rows.dtype(), 0, 2 * (bytes_of(k) + bytes_of(v)));
  }
  void attention_decode(const HeadsView& q, const KvCacheView& cache, const IndexList& slots,
                        const IndexList& lengths, float scale, std::int64_t window,
                        const DistanceBias& bias, Tensor& out) override {
    check_decode(q, cache, slots.values, lengths.values, bias, out);
    double seen = 0;
    for (const std::int32_t length : lengths.values)
      seen += static_cast<double>(window > 0 ? std::min<std::int64_t>(length, window) : length);
    const Tensor& keys = cache.keys;
    say(Kind::kAttention, q.rows.dtype(), 4 * seen * static_cast<double>(q.heads * q.head_dim),
        2 * seen * static_cast<double>(keys.dim(2) * keys.dim(3) * size_of(keys.dtype())));
  }

  void row_max(const Tensor& logits, Tensor& maximum) override {
    check_softmax(logits, {}, {&maximum});
    say_pass(1, {&logits, &maximum});
  }
  void softmax_sums(const Tensor& logits, const Tensor& maximum, const Tensor& targets,
                    std::int64_t first_column, Tensor& sums) override {
    check_softmax(logits, targets, {&maximum});
    check_softmax_sums(sums, {&maximum});
    say_pass(kCurve, {&logits, &maximum, &targets, &sums});
  }
  void softmax_stats(const Tensor& maximum, const Tensor& sums, Tensor& lse, Tensor& log_prob,
                     Tensor& entropy) override {
    check_softmax_sums(sums, {&maximum, &lse, &log_prob, &entropy});
    say_pass(kCurve, {&sums, &maximum, &lse, &log_prob, &entropy});
  }
  void add_dot(const Tensor& a, const Tensor& b, Tensor& out) override {
    check_add_dot(a, b, out);
    say_pass(2, {&a, &b, &out});
  }
  void concat_columns(const Tensor& parts, Tensor& out) override {
    check_concat(parts, out);
    say_pass(1, {&parts, &out});
  }
  void softmax_backward(const Tensor& logits, const Tensor& lse, const Tensor& targets,
                        std::int64_t first_column, const Tensor& g_logp, const Tensor& entropy,
                        const Tensor& g_entropy, Tensor& dlogits) override {
    check_softmax(logits, targets, {&lse, &g_logp, &entropy, &g_entropy});
    check_same_elements(logits, dlogits);
    say_pass(kCurve, {&logits, &dlogits, &lse, &targets, &g_logp, &entropy, &g_entropy});
  }

  void adamw(Tensor& master, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_sq,
             Tensor& compute, const AdamWStep& step) override {
    check_adamw(master, grad, exp_avg, exp_avg_sq, compute);
    say_pass(kCurve,
             {&master, &master, &grad, &exp_avg, &exp_avg, &exp_avg_sq, &exp_avg_sq, &compute});
  }
  void adamw_8bit(Tensor& master, const Tensor& grad, QuantizedMoment& exp_avg,
                  QuantizedMoment& exp_avg_sq, Tensor& compute, const AdamWStep& step) override {
    check_adamw_8bit(master, grad, exp_avg, exp_avg_sq, compute);
    say_pass(3 * kCurve, {&master, &master, &grad, &exp_avg.codes, &exp_avg.codes,
                          &exp_avg_sq.codes, &exp_avg_sq.codes, &compute});
  }
  double sum_of_squares(std::span<const Tensor> parts) override {
    for (const Tensor& part : parts) say_pass(2, {&part});
    return 0;
  }
  bool all_finite(const Tensor& x) override {
    say_pass(1, {&x});
    return true;
  }
  void round_stochastically(const Tensor& in, std::uint64_t seed, std::string_view purpose,
                            const ElementIndices& indices, Tensor& out) override {
    check_stochastic_rounding(in, indices, out);
    say_pass(kCurve, {&in, &out});
  }

  void sample(const Tensor& logits, const SamplingParams& params, std::span<const float> uniform,
              std::span<std::int32_t> tokens) override {
    check_sample(logits, params, uniform, tokens);
    say_pass(kCurve, {&logits});
    std::fill(tokens.begin(), tokens.end(), 0);
  }
};

}  // namespace

Backend& meta_backend() {
  static MetaBackend instance;
  return instance;
}

}  // namespace tandem::runtime
