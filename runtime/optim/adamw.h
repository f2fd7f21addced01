// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), one fused pass per span of fp32
// masters: a whole parameter, or the part of it that this rank updates.
#pragma once

#include <vector>

#include "runtime/optim/moment.h"

namespace tandem::runtime {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  // Moments of spans of at least kSmallest8Bit elements in 8 bits (Dettmers et al. 2022).
  bool eight_bit = false;
  // Moments lie in the host's memory, and come to the card piece by piece when they are updated.
  bool offload = false;
  // Elements on the card at a time; whole blocks of moments in 8 bits.
  std::int64_t offload_piece = 1 << 24;
};
// Below, bitsandbytes keeps fp32 too.
inline constexpr std::int64_t kSmallest8Bit = 4096;

// What one update works on: views of equal sizes.
struct OptimizerSpan {
  Tensor master;   // fp32
  Tensor grad;     // fp32
  Tensor compute;  // gets the rounded master; undefined where kernels read the master
  bool decay = true;
};

class AdamW {
 public:
  AdamW(std::vector<OptimizerSpan> spans, const AdamWOptions& options);

  // One update. `grad_scale` multiplies every gradient (clipping).
  void step(double learning_rate, double grad_scale = 1.0);

  // What a checkpoint holds, in the order of the spans.
  struct State {
    Moment exp_avg;
    Moment exp_avg_sq;
  };
  std::vector<State>& states() { return states_; }
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  void update(OptimizerSpan& span, State& state, const AdamWStep& step);
  void update_in_pieces(OptimizerSpan& span, State& state, const AdamWStep& step);

  std::vector<OptimizerSpan> spans_;
  std::vector<State> states_;
  AdamWOptions options_;
  std::int64_t steps_ = 0;
};

}  // namespace tandem::runtime
