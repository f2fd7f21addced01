#include "models/layers/stack.h"

#include "runtime/autograd/ops/elementwise.h"

namespace tandem::models {

using runtime::Tensor;

namespace {

Tensor norm_first_block(const Block& b, const Tensor& h, std::int64_t layer, const Pass& pass) {
  const Tensor attended = b.attention(b.attention_norm(h), layer, pass);
  auto [sum, y] = (b.cross ? b.cross_norm : b.feed_forward_norm).add(attended, h);
  if (b.cross) {
    auto [next_sum, next_y] = b.feed_forward_norm.add((*b.cross)(y, layer, pass), sum);
    sum = next_sum;
    y = next_y;
  }
  return runtime::add(sum, b.feed_forward(y, pass.tp, pass.draws));
}

Tensor norm_last_block(const Block& b, const Tensor& h, std::int64_t layer, const Pass& pass) {
  Tensor y = b.attention_norm.add(b.attention(h, layer, pass), h).normalized;
  if (b.cross) y = b.cross_norm.add((*b.cross)(y, layer, pass), y).normalized;
  return b.feed_forward_norm.add(b.feed_forward(y, pass.tp, pass.draws), y).normalized;
}

}  // namespace

Tensor Block::operator()(const Tensor& h, std::int64_t layer, const Pass& pass) const {
  return norm_first ? norm_first_block(*this, h, layer, pass)
                    : norm_last_block(*this, h, layer, pass);
}

Tensor Stack::with_weights(std::int64_t layer, const Tensor& h, const Pass& pass) const {
  const int unit = first_unit + static_cast<int>(layer);
  weights->acquire(unit);
  const Tensor out = blocks[static_cast<std::size_t>(layer)](h, layer, pass);
  return runtime::before_backward(out, [values = weights, unit] { values->acquire(unit); });
}

Tensor Stack::run(std::int64_t layer, const Tensor& h, const Pass& pass) const {
  if (pass.cache != nullptr) return with_weights(layer, h, pass);
  const runtime::KeepingScope keeping(
      {.remake = activations.recompute == Recompute::kSelective, .offload = activations.offload});
  if (activations.recompute != Recompute::kFull) return with_weights(layer, h, pass);
  // Runs again during backward, when the caller's values are gone: it owns what it reads.
  return runtime::recompute(
      [this, layer, pass](const std::vector<Tensor>& inputs) {
        Pass own = pass;
        own.distance_bias = inputs[1];
        own.encoded = inputs[2];
        return with_weights(layer, inputs[0], own);
      },
      {h, pass.distance_bias, pass.encoded});
}

}  // namespace tandem::models
