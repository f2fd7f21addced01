// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), one fused pass per parameter over
// fp32 masters.
#pragma once

#include <vector>

#include "runtime/nn/parameter.h"

namespace tandem::runtime {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
};

class AdamW {
 public:
  // Keeps pointers: the parameters must outlive the optimizer. Frozen ones are skipped.
  AdamW(std::vector<Parameter*> parameters, const AdamWOptions& options);

  // One update. `grad_scale` multiplies every gradient (clipping).
  void step(double learning_rate, double grad_scale = 1.0);

  // What a checkpoint holds, in the order of parameters().
  struct State {
    Tensor exp_avg;
    Tensor exp_avg_sq;
  };
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  std::vector<State>& states() { return states_; }
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  std::vector<Parameter*> parameters_;
  std::vector<State> states_;
  AdamWOptions options_;
  std::int64_t steps_ = 0;
};

}  // namespace tandem::runtime
