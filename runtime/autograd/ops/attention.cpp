#include "runtime/autograd/ops/attention.h"

#include <cmath>

namespace tandem::runtime {

RopeTable make_rope_table(std::int64_t max_position, std::int64_t head_dim, double theta,
                          Device device) {
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < head_dim / 2; ++i)
    frequencies.push_back(
        1.0 / std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
  return make_rope_table(max_position, frequencies, device);
}

RopeTable make_rope_table(std::int64_t max_position, const std::vector<double>& frequencies,
                          Device device) {
  const auto half = static_cast<std::int64_t>(frequencies.size());
  std::vector<float> cos(static_cast<std::size_t>(max_position * half));
  std::vector<float> sin(cos.size());
  for (std::int64_t i = 0; i < half; ++i) {
    // The frequency is rounded to fp32 first, as PyTorch's models do.
    const auto frequency = static_cast<float>(frequencies[static_cast<std::size_t>(i)]);
    for (std::int64_t position = 0; position < max_position; ++position) {
      const float angle = static_cast<float>(position) * frequency;
      cos[static_cast<std::size_t>(position * half + i)] = std::cos(angle);
      sin[static_cast<std::size_t>(position * half + i)] = std::sin(angle);
    }
  }
  return {Tensor::from(cos, {max_position, half}, device),
          Tensor::from(sin, {max_position, half}, device)};
}

Tensor rope(const Tensor& qkv, const PackedHeads& heads, const Tensor& positions,
            const RopeTable& table) {
  TANDEM_CHECK(qkv.dim(1) == heads.width() && positions.elements() == qkv.dim(0),
               "rope of {} with {} positions", qkv.str(), positions.elements());
  // q and k lie side by side, so one call rotates both.
  const auto rotated = [heads](const Tensor& rows) {
    return HeadsView{rows, 0, heads.heads + heads.kv_heads, heads.head_dim};
  };
  Tensor y = qkv.detach();
  backend_of(y).rope(rotated(y), positions, table.cos, table.sin, false);
  if (!recording({&qkv})) return y;
  Tape::current()->record(
      "rope", {&qkv}, {&y}, {}, [rotated, positions, table](BackwardContext& context) {
        // In place, unless others hold this gradient too (the other operand of a sum, the caller).
        const Tensor& dy = context.grad_output(0);
        const Tensor grad = dy.exclusive() ? dy : dy.clone();
        backend_of(grad).rope(rotated(grad), positions, table.cos, table.sin, true);
        context.add_grad_input(0, grad);
      });
  return y;
}

float attention_scale(const AttentionOptions& options, const PackedHeads& heads) {
  return options.scale > 0 ? options.scale : 1.0f / std::sqrt(static_cast<float>(heads.head_dim));
}

namespace {

// What both forms of attention save for backward.
struct AttentionRecord {
  PackedHeads heads;
  AttentionOptions options;
  std::vector<std::int32_t> borders, kv_borders;

  AttentionShape shape() const {
    return {.cu_seqlens_q = borders,
            .cu_seqlens_k = kv_borders,
            .causal = options.causal,
            .scale = attention_scale(options, heads),
            .window = options.window,
            .bias = {options.distance_bias, {}, options.bias_zero},
            .borders = options.borders};
  }
};

struct AttentionOutput {
  Tensor out, lse;
};

struct SavedAttention {
  Saved out, lse;

  static SavedAttention of(AttentionOutput& output) {
    return {save_output(output.out), Saved(output.lse)};
  }
  AttentionOutput get() const { return {out.get(), lse.get()}; }
};

AttentionOutput attend(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                       const AttentionRecord& record) {
  const std::int64_t n = q.rows.dim(0);
  AttentionOutput output{Tensor::empty({n, q.heads * q.head_dim}, q.rows.dtype(), q.rows.device()),
                         Tensor::empty({q.heads, n}, DType::kF32, q.rows.device())};
  backend_of(q.rows).attention_forward(q, k, v, record.shape(), output.out, output.lse);
  return output;
}

// The gradient of the bias goes to input 0 of the record, where there is a bias.
void attend_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                     const AttentionOutput& saved, const AttentionRecord& record,
                     const HeadsView& dq, const HeadsView& dk, const HeadsView& dv,
                     BackwardContext& context) {
  AttentionShape shape = record.shape();
  if (context.needs_grad(0)) shape.bias.grad = empty_like(shape.bias.values);
  backend_of(q.rows).attention_backward(q, k, v, saved.out, saved.lse, context.grad_output(0),
                                        shape, dq, dk, dv);
  if (context.needs_grad(0)) context.add_grad_input(0, shape.bias.grad);
}

}  // namespace

Tensor attention(const Tensor& qkv, const PackedHeads& heads, std::vector<std::int32_t> cu_seqlens,
                 const AttentionOptions& options) {
  TANDEM_CHECK(
      qkv.dim(1) == heads.width() && !cu_seqlens.empty() && cu_seqlens.back() == qkv.dim(0),
      "attention over {} with {} tokens", qkv.str(), cu_seqlens.empty() ? 0 : cu_seqlens.back());
  AttentionRecord record{heads, options, cu_seqlens, std::move(cu_seqlens)};
  record.options.distance_bias = options.distance_bias.detach();
  AttentionOutput output = attend(heads.q(qkv), heads.k(qkv), heads.v(qkv), record);
  if (!recording({&qkv, &options.distance_bias})) return output.out;
  const auto saved = SavedAttention::of(output);
  Tape::current()->record(
      "attention", {&options.distance_bias, &qkv}, {&output.out}, {},
      [kept = Saved(qkv), saved, record = std::move(record)](BackwardContext& context) {
        const PackedHeads& packed = record.heads;
        const Tensor qkv = kept.get(), dqkv = empty_like(qkv);
        attend_backward(packed.q(qkv), packed.k(qkv), packed.v(qkv), saved.get(), record,
                        packed.q(dqkv), packed.k(dqkv), packed.v(dqkv), context);
        context.add_grad_input(1, dqkv);
      });
  return output.out;
}

Tensor cross_attention(const Tensor& q, const Tensor& kv, const PackedHeads& heads,
                       std::vector<std::int32_t> borders, std::vector<std::int32_t> kv_borders,
                       const AttentionOptions& options) {
  const auto queries = [heads](const Tensor& rows) {
    return HeadsView{rows, 0, heads.heads, heads.head_dim};
  };
  const auto keys = [heads](const Tensor& rows) {
    return HeadsView{rows, 0, heads.kv_heads, heads.head_dim};
  };
  const auto values = [heads](const Tensor& rows) {
    return HeadsView{rows, heads.kv_heads * heads.head_dim, heads.kv_heads, heads.head_dim};
  };
  AttentionRecord record{heads, options, std::move(borders), std::move(kv_borders)};
  record.options.causal = false;
  record.options.distance_bias = options.distance_bias.detach();
  AttentionOutput output = attend(queries(q), keys(kv), values(kv), record);
  if (!recording({&q, &kv, &options.distance_bias})) return output.out;
  const auto saved = SavedAttention::of(output);
  Tape::current()->record(
      "cross_attention", {&options.distance_bias, &q, &kv}, {&output.out}, {},
      [kept_q = Saved(q), kept_kv = Saved(kv), saved, record = std::move(record), queries, keys,
       values](BackwardContext& context) {
        const Tensor q = kept_q.get(), kv = kept_kv.get();
        const Tensor dq = empty_like(q), dkv = empty_like(kv);
        attend_backward(queries(q), keys(kv), values(kv), saved.get(), record, queries(dq),
                        keys(dkv), values(dkv), context);
        context.add_grad_input(1, dq);
        context.add_grad_input(2, dkv);
      });
  return output.out;
}

}  // namespace tandem::runtime
