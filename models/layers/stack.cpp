#include "models/layers/stack.h"

#include "runtime/autograd/ops/elementwise.h"

namespace tandem::models {

using runtime::Tensor;

namespace {

Tensor norm_first_block(const Block& b, const Tensor& h, std::int64_t layer, const Pass& pass,
                        const parallel::Group& tp) {
  const Tensor attended = b.attention(b.attention_norm(h), layer, pass, tp);
  auto [sum, y] = (b.cross ? b.cross_norm : b.feed_forward_norm).add(attended, h);
  if (b.cross) {
    auto [next_sum, next_y] = b.feed_forward_norm.add((*b.cross)(y, layer, pass, tp), sum);
    sum = next_sum;
    y = next_y;
  }
  return runtime::add(sum, b.feed_forward(y, tp));
}

Tensor norm_last_block(const Block& b, const Tensor& h, std::int64_t layer, const Pass& pass,
                       const parallel::Group& tp) {
  Tensor y = b.attention_norm.add(b.attention(h, layer, pass, tp), h).normalized;
  if (b.cross) y = b.cross_norm.add((*b.cross)(y, layer, pass, tp), y).normalized;
  return b.feed_forward_norm.add(b.feed_forward(y, tp), y).normalized;
}

}  // namespace

Tensor Block::operator()(const Tensor& h, std::int64_t layer, const Pass& pass,
                         const parallel::Group& tp) const {
  return norm_first ? norm_first_block(*this, h, layer, pass, tp)
                    : norm_last_block(*this, h, layer, pass, tp);
}

Tensor Stack::run(std::int64_t layer, const Tensor& h, const Pass& pass,
                  const parallel::Group& tp) const {
  const Block& block = blocks[static_cast<std::size_t>(layer)];
  if (!recompute || pass.cache != nullptr) return block(h, layer, pass, tp);
  // Runs again during backward, when the caller's values are gone: it owns what it reads.
  return runtime::recompute(
      [&block, layer, pass, tp](const std::vector<Tensor>& inputs) {
        Pass own = pass;
        own.distance_bias = inputs[1];
        own.encoded = inputs[2];
        return block(inputs[0], layer, own, tp);
      },
      {h, pass.distance_bias, pass.encoded});
}

}  // namespace tandem::models
