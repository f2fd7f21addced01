#include "runtime/kernels/kernel_arguments.h"

#include <cmath>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

AdamWTask adamw_task(const AdamWStep& step) {
  const auto steps = static_cast<double>(step.step);
  return {.one_minus_beta1 = static_cast<float>(1.0 - step.beta1),
          .beta2 = static_cast<float>(step.beta2),
          .one_minus_beta2 = static_cast<float>(1.0 - step.beta2),
          .eps = static_cast<float>(step.eps),
          .decay = static_cast<float>(1.0 - step.learning_rate * step.weight_decay),
          .step_size = static_cast<float>(step.learning_rate / (1.0 - std::pow(step.beta1, steps))),
          .inverse_sqrt_correct =
              static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(step.beta2, steps))),
          .grad_scale = static_cast<float>(step.grad_scale)};
}

}  // namespace tandem::runtime
