// Shapes without data: every kernel checks what it is given and does nothing. A step on this
// backend allocates what the same step allocates on the real one (device.h), so its peak predicts
// the real peak.
#include <algorithm>

#include "runtime/kernels/backends.h"
#include "runtime/kernels/shape_checks.h"

namespace tandem::runtime {
namespace {

class MetaBackend final : public Backend {
 public:
  Device device() const override { return {DeviceType::kMeta, 0}; }
  void synchronize() override {}

  void fill(Tensor& out, float value) override {}
  void copy(const Tensor& in, Tensor& out) override { check_same_elements(in, out); }
  void add(const Tensor& a, const Tensor& b, Tensor& out) override {
    check_same_elements(a, b);
    check_same_elements(a, out);
  }
  void scale(Tensor& x, float factor) override {}
  void dropout(const Tensor& x, float p, const MaskDraws& draws, Tensor& out) override {
    check_same(x, {&out});
  }
  void add_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override {
    check_columns(x, first, out);
  }
  void take_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override {
    check_columns(out, first, x);
  }
  void gather_rows(const Tensor& x, const Tensor& rows, Tensor& out) override {
    check_gather(x, rows, out);
  }
  void scatter_add_rows(const Tensor& x, const Tensor& rows, Tensor& out) override {
    check_scatter(x, rows, out);
  }

  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
              bool accumulate, const Tensor& bias) override {
    check_matmul(a, transpose_a, b, transpose_b, out, bias);
  }
  void quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                        Tensor& out, const Tensor& bias) override {
    check_quantized_matmul(a, weight, transposed, out, bias);
  }
  void column_sum(const Tensor& dy, Tensor& dbias, bool accumulate) override {
    check_column_sum(dy, dbias);
  }

  void embedding_forward(const Tensor& tokens, const Tensor& weight, std::int64_t first_row,
                         Tensor& out) override {
    check_gather(weight, tokens, out);
  }
  void embedding_backward(const Tensor& tokens, const Tensor& dy, std::int64_t first_row,
                          Tensor& dweight) override {
    check_scatter(dy, tokens, dweight);
    TANDEM_CHECK(dweight.dtype() == DType::kF32, "embedding gradient {}", dweight.str());
  }

  void rms_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps,
                        Tensor& h, Tensor& y, Tensor& rstd) override {
    check_norm(x, {&residual, &h, &y}, {&weight}, {&rstd});
  }
  void rms_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& rstd,
                         const Tensor& dy, const Tensor& dh_in, Tensor& dh, Tensor& dweight,
                         bool accumulate) override {
    check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight}, {&rstd});
  }
  void layer_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                          const Tensor& bias, float eps, Tensor& h, Tensor& y, Tensor& mean,
                          Tensor& rstd) override {
    check_norm(x, {&residual, &h, &y}, {&weight, &bias}, {&mean, &rstd});
  }
  void layer_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& mean,
                           const Tensor& rstd, const Tensor& dy, const Tensor& dh_in, Tensor& dh,
                           Tensor& dweight, Tensor& dbias, bool accumulate) override {
    check_norm(h, {&dy, &dh_in, &dh}, {&weight, &dweight, &dbias}, {&mean, &rstd});
  }

  void rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos, const Tensor& sin,
            bool inverse) override {
    check_rope(heads, positions, cos, sin);
  }
  void swiglu_forward(const Tensor& gate_up, Tensor& out) override { check_swiglu(gate_up, out); }
  void swiglu_backward(const Tensor& gate_up, const Tensor& dy, Tensor& dgate_up) override {
    check_same(gate_up, {&dgate_up});
    check_swiglu(gate_up, dy);
  }
  void gelu_forward(const Tensor& x, bool tanh, Tensor& y) override { check_same(x, {&y}); }
  void gelu_backward(const Tensor& x, bool tanh, const Tensor& dy, Tensor& dx) override {
    check_same(x, {&dy, &dx});
  }
  void geglu_forward(const Tensor& gate_up, bool tanh, Tensor& out) override {
    check_swiglu(gate_up, out);
  }
  void geglu_backward(const Tensor& gate_up, bool tanh, const Tensor& dy,
                      Tensor& dgate_up) override {
    swiglu_backward(gate_up, dy, dgate_up);
  }
  void relu_forward(const Tensor& x, Tensor& y) override { check_same(x, {&y}); }
  void relu_backward(const Tensor& x, const Tensor& dy, Tensor& dx) override {
    check_same(x, {&dy, &dx});
  }
  void tanh_forward(const Tensor& x, Tensor& y) override { check_same(x, {&y}); }
  void tanh_backward(const Tensor& y, const Tensor& dy, Tensor& dx) override {
    check_same(y, {&dy, &dx});
  }

  void attention_forward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                         const AttentionShape& shape, Tensor& out, Tensor& lse) override {
    check_attention(q, k, v, shape, out, lse);
  }
  void attention_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                          const Tensor& out, const Tensor& lse, const Tensor& dout,
                          const AttentionShape& shape, const HeadsView& dq, const HeadsView& dk,
                          const HeadsView& dv) override {
    check_attention(q, k, v, shape, out, lse);
    check_attention(dq, dk, dv, shape, dout, lse);
  }
  void kv_cache_write(const HeadsView& k, const HeadsView& v, std::span<const std::int32_t> slots,
                      std::span<const std::int32_t> positions, KvCacheView& cache) override {
    check_cache_write(k, v, slots, positions, cache);
  }
  void attention_decode(const HeadsView& q, const KvCacheView& cache,
                        std::span<const std::int32_t> slots, std::span<const std::int32_t> lengths,
                        float scale, std::int64_t window, const DistanceBias& bias,
                        Tensor& out) override {
    check_decode(q, cache, slots, lengths, bias, out);
  }

  void row_max(const Tensor& logits, Tensor& maximum) override {
    check_softmax(logits, {}, {&maximum});
  }
  void softmax_sums(const Tensor& logits, const Tensor& maximum, const Tensor& targets,
                    std::int64_t first_column, Tensor& sums) override {
    check_softmax(logits, targets, {&maximum});
    check_softmax_sums(sums, {&maximum});
  }
  void softmax_stats(const Tensor& maximum, const Tensor& sums, Tensor& lse, Tensor& log_prob,
                     Tensor& entropy) override {
    check_softmax_sums(sums, {&maximum, &lse, &log_prob, &entropy});
  }
  void add_dot(const Tensor& a, const Tensor& b, Tensor& out) override { check_add_dot(a, b, out); }
  void concat_columns(const Tensor& parts, Tensor& out) override { check_concat(parts, out); }
  void softmax_backward(const Tensor& logits, const Tensor& lse, const Tensor& targets,
                        std::int64_t first_column, const Tensor& g_logp, const Tensor& entropy,
                        const Tensor& g_entropy, Tensor& dlogits) override {
    check_softmax(logits, targets, {&lse, &g_logp, &entropy, &g_entropy});
    check_same_elements(logits, dlogits);
  }

  void adamw(Tensor& master, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_sq,
             Tensor& compute, const AdamWStep& step) override {
    check_adamw(master, grad, exp_avg, exp_avg_sq, compute);
  }
  void adamw_8bit(Tensor& master, const Tensor& grad, QuantizedMoment& exp_avg,
                  QuantizedMoment& exp_avg_sq, Tensor& compute, const AdamWStep& step) override {
    check_adamw_8bit(master, grad, exp_avg, exp_avg_sq, compute);
  }
  void round_stochastically(const Tensor& in, std::uint64_t seed, std::string_view purpose,
                            const ElementIndices& indices, Tensor& out) override {
    check_stochastic_rounding(in, indices, out);
  }
  double sum_of_squares(const Tensor& x) override { return 0; }
  bool all_finite(const Tensor& x) override { return true; }

  void sample(const Tensor& logits, const SamplingParams& params, std::span<const float> uniform,
              std::span<std::int32_t> tokens) override {
    check_sample(logits, params, uniform, tokens);
    std::fill(tokens.begin(), tokens.end(), 0);
  }
};

}  // namespace

Backend& meta_backend() {
  static MetaBackend instance;
  return instance;
}

}  // namespace tandem::runtime
