#include "runtime/optim/adamw.h"

#include <algorithm>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

// Elements of weights without masters that exist in fp32 at a time: whole blocks of moments.
constexpr std::int64_t kScratch = 1 << 20;
static_assert(kScratch % kMomentBlock == 0);

void update(Tensor& master, const Tensor& grad, AdamW::State& state, Tensor& compute,
            const AdamWStep& step) {
  Backend& backend = backend_of(master);
  if (state.exp_avg.eight_bit())
    backend.adamw_8bit(master, grad, state.exp_avg.quantized(), state.exp_avg_sq.quantized(),
                       compute, step);
  else
    backend.adamw(master, grad, state.exp_avg.values(), state.exp_avg_sq.values(), compute, step);
}

}  // namespace

AdamW::AdamW(std::vector<OptimizerSpan> spans, const AdamWOptions& options)
    : spans_(std::move(spans)), options_(options) {
  for (const OptimizerSpan& span : spans_) {
    const Tensor& weights = span.weights();
    const bool eight_bit = options.eight_bit && weights.elements() >= kSmallest8Bit;
    states_.push_back({Moment(weights, eight_bit, true), Moment(weights, eight_bit, false)});
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
    if (span.master.defined())
      update(span.master, span.grad, states_[i], span.compute, step);
    else
      update_weights(span, states_[i], step);
  }
}

void AdamW::update_weights(const OptimizerSpan& span, State& state, const AdamWStep& step) {
  const std::int64_t n = span.compute.elements();
  for (std::int64_t begin = 0; begin < n; begin += kScratch) {
    const std::int64_t count = std::min(kScratch, n - begin);
    Tensor weights = span.compute.slice(begin, {count}), master = weights.to(DType::kF32), none;
    State part{state.exp_avg.part(begin, count), state.exp_avg_sq.part(begin, count)};
    update(master, span.grad.slice(begin, {count}), part, none, step);
    if (options_.stochastic_rounding)
      round(master, span, begin, weights);
    else
      backend_of(weights).copy(master, weights);
  }
}

void AdamW::round(const Tensor& from, const OptimizerSpan& span, std::int64_t begin, Tensor& to) {
  const std::int64_t end = begin + from.elements();
  for (const SpanPiece& piece : span.pieces) {
    const std::int64_t first = std::max(begin, piece.begin),
                       count = std::min(end, piece.begin + piece.count) - first;
    if (count <= 0) continue;
    Tensor target = to.slice(first - begin, {count});
    backend_of(to).round_stochastically(from.slice(first - begin, {count}), options_.seed,
                                        fmt::format("rounding/{}/{}", steps_, piece.name),
                                        piece.indices.from(first - piece.begin), target);
  }
}

}  // namespace tandem::runtime
