#include "runtime/autograd/ops/attention.h"

#include <cmath>

namespace tandem::runtime {

RopeTable make_rope_table(std::int64_t max_position, std::int64_t head_dim, double theta,
                          Device device) {
  const std::int64_t half = head_dim / 2;
  std::vector<float> cos(static_cast<std::size_t>(max_position * half));
  std::vector<float> sin(cos.size());
  for (std::int64_t i = 0; i < half; ++i) {
    // The frequency is rounded to fp32 first, as PyTorch's models do.
    const auto frequency = static_cast<float>(
        1.0 / std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
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

Tensor attention(const Tensor& qkv, const PackedHeads& heads, std::vector<std::int32_t> cu_seqlens,
                 bool causal, std::int64_t window) {
  const std::int64_t n = qkv.dim(0);
  TANDEM_CHECK(qkv.dim(1) == heads.width() && !cu_seqlens.empty() && cu_seqlens.back() == n,
               "attention over {} with {} tokens", qkv.str(),
               cu_seqlens.empty() ? 0 : cu_seqlens.back());
  Tensor out = Tensor::empty({n, heads.heads * heads.head_dim}, qkv.dtype(), qkv.device());
  Tensor lse = Tensor::empty({heads.heads, n}, DType::kF32, qkv.device());
  const auto shape_of = [causal, window,
                         scale = 1.0f / std::sqrt(static_cast<float>(heads.head_dim))](
                            const std::vector<std::int32_t>& borders) {
    return AttentionShape{.cu_seqlens_q = borders,
                          .cu_seqlens_k = borders,
                          .causal = causal,
                          .scale = scale,
                          .window = window};
  };
  backend_of(qkv).attention_forward(heads.q(qkv), heads.k(qkv), heads.v(qkv), shape_of(cu_seqlens),
                                    out, lse);
  if (!recording({&qkv})) return out;
  const Tensor saved_out = out;
  Tape::current()->record("attention", {&qkv}, {&out}, {},
                          [qkv = qkv.detach(), saved_out, lse, heads, shape_of,
                           cu_seqlens = std::move(cu_seqlens)](BackwardContext& context) {
                            const Tensor dqkv = empty_like(qkv);
                            backend_of(qkv).attention_backward(
                                heads.q(qkv), heads.k(qkv), heads.v(qkv), saved_out, lse,
                                context.grad_output(0), shape_of(cu_seqlens), heads.q(dqkv),
                                heads.k(dqkv), heads.v(dqkv));
                            context.add_grad_input(0, dqkv);
                          });
  return out;
}

}  // namespace tandem::runtime
