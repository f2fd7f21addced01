#include "runtime/optim/adamw.h"

#include <algorithm>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

AdamW::AdamW(std::vector<OptimizerSpan> spans, const AdamWOptions& options)
    : spans_(std::move(spans)), options_(options) {
  TANDEM_CHECK(options.offload_piece % kMomentBlock == 0, "pieces of {} elements",
               options.offload_piece);
  for (const OptimizerSpan& span : spans_) {
    const bool eight_bit = options.eight_bit && span.master.elements() >= kSmallest8Bit;
    const Device device = span.master.device();
    const Device place = options.offload ? host_memory_of(device) : device;
    states_.push_back({Moment(span.master, eight_bit, true, place),
                       Moment(span.master, eight_bit, false, place)});
  }
}

void AdamW::step(double learning_rate, double grad_scale) {
  ++steps_;
  AdamWStep step{.learning_rate = learning_rate,
                 .beta1 = options_.beta1,
                 .beta2 = options_.beta2,
                 .eps = options_.eps,
                 .weight_decay = 0,
                 .grad_scale = grad_scale,
                 .step = steps_};
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    step.weight_decay = spans_[i].decay ? options_.weight_decay : 0.0;
    if (states_[i].exp_avg.device() == spans_[i].master.device())
      update(spans_[i], states_[i], step);
    else
      update_in_pieces(spans_[i], states_[i], step);
  }
}

void AdamW::update(OptimizerSpan& span, State& state, const AdamWStep& step) {
  Backend& backend = backend_of(span.master);
  if (state.exp_avg.eight_bit())
    backend.adamw_8bit(span.master, span.grad, state.exp_avg.quantized(),
                       state.exp_avg_sq.quantized(), span.compute, step);
  else
    backend.adamw(span.master, span.grad, state.exp_avg.values(), state.exp_avg_sq.values(),
                  span.compute, step);
}

void AdamW::update_in_pieces(OptimizerSpan& span, State& state, const AdamWStep& step) {
  const Device device = span.master.device();
  const std::int64_t all = span.master.elements(), most = options_.offload_piece;
  for (std::int64_t begin = 0; begin < all; begin += most) {
    const std::int64_t count = std::min(most, all - begin);
    const auto part = [&](const Tensor& whole) {
      return whole.defined() ? whole.slice(begin, {count}) : Tensor();
    };
    OptimizerSpan piece{part(span.master), part(span.grad), part(span.compute), span.decay};
    State moments{state.exp_avg.piece(begin, count, device),
                  state.exp_avg_sq.piece(begin, count, device)};
    update(piece, moments, step);
    state.exp_avg.put_back(begin, moments.exp_avg);
    state.exp_avg_sq.put_back(begin, moments.exp_avg_sq);
  }
}

}  // namespace tandem::runtime
