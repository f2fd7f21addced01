#include "runtime/optim/adamw.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

AdamW::AdamW(std::vector<OptimizerSpan> spans, const AdamWOptions& options)
    : spans_(std::move(spans)), options_(options) {
  for (const OptimizerSpan& span : spans_)
    states_.push_back({zeros_like(span.master), zeros_like(span.master)});
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
    backend_of(span.master)
        .adamw(span.master, span.grad, states_[i].exp_avg, states_[i].exp_avg_sq, span.compute,
               step);
  }
}

}  // namespace tandem::runtime
