#include "runtime/optim/adamw.h"

#include <algorithm>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {

namespace {

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
  TANDEM_CHECK(options.piece % kMomentBlock == 0, "pieces of {} elements", options.piece);
  for (const OptimizerSpan& span : spans_) {
    const Tensor& weights = span.weights();
    const bool eight_bit = options.eight_bit && weights.elements() >= kSmallest8Bit;
    const Device place = options.offload ? host_memory_of(weights.device()) : weights.device();
    states_.push_back(
        {Moment(weights, eight_bit, true, place), Moment(weights, eight_bit, false, place)});
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
    if (span.master.defined() && states_[i].exp_avg.device() == span.master.device())
      update(span.master, span.grad, states_[i], span.compute, step);
    else
      update_in_pieces(span, states_[i], step);
  }
}

void AdamW::update_in_pieces(const OptimizerSpan& span, State& state, const AdamWStep& step) {
  const Device device = span.weights().device();
  const std::int64_t n = span.weights().elements();
  for (std::int64_t begin = 0; begin < n; begin += options_.piece) {
    const std::int64_t count = std::min(options_.piece, n - begin);
    const auto part = [&](const Tensor& whole) {
      return whole.defined() ? whole.slice(begin, {count}) : Tensor();
    };
    Tensor compute = part(span.compute), none;
    Tensor master = span.master.defined() ? part(span.master) : compute.to(DType::kF32);
    State moments{state.exp_avg.piece(begin, count, device),
                  state.exp_avg_sq.piece(begin, count, device)};
    update(master, part(span.grad), moments, span.master.defined() ? compute : none, step);
    if (!span.master.defined()) round(master, span, begin, compute);
    state.exp_avg.put_back(begin, moments.exp_avg);
    state.exp_avg_sq.put_back(begin, moments.exp_avg_sq);
  }
}

void AdamW::round(const Tensor& from, const OptimizerSpan& span, std::int64_t begin, Tensor& to) {
  if (!options_.stochastic_rounding) {
    backend_of(to).copy(from, to);
    return;
  }
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
