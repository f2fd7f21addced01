#include "runtime/optim/adamw.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

AdamW::AdamW(std::vector<OptimizerSpan> spans, const AdamWOptions& options)
    : spans_(std::move(spans)), options_(options) {
  for (const OptimizerSpan& span : spans_) {
    const bool eight_bit = options.eight_bit && span.master.elements() >= kSmallest8Bit;
    states_.push_back(
        {Moment(span.master, eight_bit, true), Moment(span.master, eight_bit, false)});
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
    OptimizerSpan& span = spans_[i];
    step.weight_decay = span.decay ? options_.weight_decay : 0.0;
    State& state = states_[i];
    Backend& backend = backend_of(span.master);
    if (state.exp_avg.eight_bit())
      backend.adamw_8bit(span.master, span.grad, state.exp_avg.quantized(),
                         state.exp_avg_sq.quantized(), span.compute, step);
    else
      backend.adamw(span.master, span.grad, state.exp_avg.values(), state.exp_avg_sq.values(),
                    span.compute, step);
  }
}

}  // namespace tandem::runtime
