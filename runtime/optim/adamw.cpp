#include "runtime/optim/adamw.h"

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

AdamW::AdamW(std::vector<Parameter*> parameters, const AdamWOptions& options) : options_(options) {
  for (Parameter* parameter : parameters) {
    if (!parameter->leaf.requires_grad) continue;
    parameters_.push_back(parameter);
    states_.push_back({zeros_like(parameter->master), zeros_like(parameter->master)});
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
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = *parameters_[i];
    step.weight_decay = parameter.decay ? options_.weight_decay : 0.0;
    Tensor compute = parameter.has_compute_copy() ? parameter.leaf.value : Tensor();
    backend_of(parameter.master)
        .adamw(parameter.master, parameter.leaf.grad, states_[i].exp_avg, states_[i].exp_avg_sq,
               compute, step);
  }
}

}  // namespace tandem::runtime
