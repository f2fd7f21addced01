// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), one fused pass per span of fp32
// masters: a whole parameter, or the part of it that this rank updates. Weights in bf16 without
// masters are updated in fp32, a piece at a time, and rounded at random by what is cut off (Zamirai
// et al. 2021), so that updates smaller than their last place are not lost.
#pragma once

#include <string>
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
  // Elements at a time, where moments lie elsewhere or weights have no masters; whole blocks of
  // moments in 8 bits.
  std::int64_t piece = 1 << 20;
  // Of weights without masters; else to the nearest. Random numbers are drawn by seed, update and
  // place in the whole parameter: it does not matter which rank has it.
  bool stochastic_rounding = true;
  std::uint64_t seed = 0;
};
// Below, bitsandbytes keeps fp32 too.
inline constexpr std::int64_t kSmallest8Bit = 4096;

// Neighbours in a span that belong to one tensor of the model.
struct SpanPiece {
  std::string name;
  std::int64_t begin = 0;
  std::int64_t count = 0;
  ElementIndices indices;
};

// What one update works on: views of equal sizes.
struct OptimizerSpan {
  Tensor master;   // fp32; undefined: the weights are `compute` alone
  Tensor grad;     // fp32
  Tensor compute;  // gets the rounded master; undefined where kernels read the master
  bool decay = true;
  // Where the elements stand in whole tensors; needed without masters.
  std::vector<SpanPiece> pieces = {};

  const Tensor& weights() const { return master.defined() ? master : compute; }
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
  void update_in_pieces(const OptimizerSpan& span, State& state, const AdamWStep& step);
  void round(const Tensor& from, const OptimizerSpan& span, std::int64_t begin, Tensor& to);

  std::vector<OptimizerSpan> spans_;
  std::vector<State> states_;
  AdamWOptions options_;
  std::int64_t steps_ = 0;
};

}  // namespace tandem::runtime
