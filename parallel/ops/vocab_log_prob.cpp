#include "parallel/ops/vocab_log_prob.h"

#include <algorithm>
#include <cmath>

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::Backend;
using runtime::backend_of;
using runtime::BackwardContext;
using runtime::DType;
using runtime::Tape;
using runtime::Tensor;

namespace {

// Bytes of fp32 logits held at a time: few enough to stay near a CPU's last-level cache, but enough
// rows for full GEMM speed, and for the output matrix's whole gradient to go to memory and back
// rarely: on a card each such way takes as long as the products of a few hundred rows.
constexpr std::int64_t kChunkBytes = 32 << 20;
constexpr std::int64_t kCardChunkBytes = 1 << 30;
constexpr std::int64_t kMinChunkRows = 256;

std::int64_t chunk_rows(std::int64_t vocab_rows, runtime::Device device) {
  const bool card = type_stood_for(device) == runtime::DeviceType::kCUDA;
  const std::int64_t rows =
      (card ? kCardChunkBytes : kChunkBytes) / (4 * std::max<std::int64_t>(vocab_rows, 1));
  return std::max(kMinChunkRows, card ? rows / kMinChunkRows * kMinChunkRows : rows);
}

Tensor weight_rows(const VocabShard& vocab) {
  return vocab.weight->value.rows(0, vocab.rows);
}

// Undefined where there is no bias.
Tensor bias_rows(const VocabShard& vocab) {
  return vocab.bias == nullptr ? Tensor() : vocab.bias->value.slice(0, {vocab.rows});
}

// Statistics of one chunk, equal on all tensor-parallel ranks: log-sum-exp, log-probability of the
// target, entropy.
struct ChunkStats {
  Tensor lse, log_prob, entropy;
};

Tensor chunk_logits(const Tensor& hidden, const VocabShard& vocab, float temperature) {
  Tensor logits = Tensor::empty({hidden.dim(0), vocab.rows}, DType::kF32, hidden.device());
  backend_of(hidden).matmul(hidden, false, weight_rows(vocab), true, logits, false,
                            bias_rows(vocab));
  if (temperature != 1.0f) backend_of(hidden).scale(logits, 1.0f / temperature);
  return logits;
}

ChunkStats chunk_stats(const Tensor& logits, const VocabShard& vocab, const Tensor& targets) {
  const std::int64_t n = logits.dim(0);
  const runtime::Device device = logits.device();
  Backend& backend = backend_of(logits);
  Tensor maximum = Tensor::empty({n}, DType::kF32, device);
  Tensor sums = Tensor::empty({n, 3}, DType::kF32, device);
  if (vocab.tp.size() == 1) {
    backend.row_max_and_sums(logits, targets, vocab.first_row, maximum, sums);
  } else {
    backend.row_max(logits, maximum);
    vocab.tp.all_reduce(maximum, ReduceOp::kMax, "vocab-parallel maximum").wait();
    backend.softmax_sums(logits, maximum, targets, vocab.first_row, sums);
    vocab.tp.all_reduce(sums, ReduceOp::kSum, "vocab-parallel sums").wait();
  }
  ChunkStats stats{Tensor::empty({n}, DType::kF32, device), Tensor::empty({n}, DType::kF32, device),
                   Tensor::empty({n}, DType::kF32, device)};
  backend.softmax_stats(maximum, sums, stats.lse, stats.log_prob, stats.entropy);
  return stats;
}

void add_bias_grad(const Tensor& dlogits, const VocabShard& vocab) {
  Backend& backend = backend_of(dlogits);
  runtime::accumulate_into(*vocab.bias, [&](Tensor& grad, bool accumulate) {
    if (!accumulate && vocab.rows < grad.elements()) {
      backend.fill(grad, 0.0f);  // padding too
      accumulate = true;
    }
    Tensor rows = grad.slice(0, {vocab.rows});
    backend.column_sum(dlogits, rows, accumulate);
  });
}

// Adds this chunk's share of dW and of the bias's gradient, and writes dhidden rows (a partial sum
// over tensor-parallel ranks).
void backward_through_matrix(const Tensor& dlogits, const Tensor& hidden, const VocabShard& vocab,
                             Tensor& dhidden) {
  Backend& backend = backend_of(hidden);
  backend.matmul(dlogits, false, weight_rows(vocab), false, dhidden);
  if (vocab.bias != nullptr && vocab.bias->requires_grad) add_bias_grad(dlogits, vocab);
  if (!vocab.weight->requires_grad) return;
  runtime::accumulate_into(*vocab.weight, [&](Tensor& grad, bool accumulate) {
    if (!accumulate && vocab.rows < grad.dim(0)) {
      backend.fill(grad, 0.0f);  // padding rows too
      accumulate = true;
    }
    Tensor rows = grad.rows(0, vocab.rows);
    backend.matmul(dlogits, true, hidden, false, rows, accumulate);
  });
}

void check_inputs(const Tensor& hidden, const VocabShard& vocab, const Tensor& targets) {
  TANDEM_CHECK(hidden.shape().rank() == 2 && hidden.dim(1) == vocab.weight->value.dim(1) &&
                   targets.elements() == hidden.dim(0) && targets.dtype() == DType::kI32,
               "vocabulary loss of {} with targets {} and weight {}", hidden.str(), targets.str(),
               vocab.weight->value.str());
}

// Calls body(first row, rows) for the chunks of the rows of `hidden`.
template <typename Body>
void for_each_chunk(const Tensor& hidden, const VocabShard& vocab, const Body& body) {
  const std::int64_t n = hidden.dim(0), at_once = chunk_rows(vocab.rows, hidden.device());
  for (std::int64_t begin = 0; begin < n; begin += at_once)
    body(begin, std::min(at_once, n - begin));
}

}  // namespace

Tensor linear_cross_entropy(const Tensor& hidden, const VocabShard& vocab, const Tensor& targets,
                            const Tensor& weights) {
  check_inputs(hidden, vocab, targets);
  Backend& backend = backend_of(hidden);
  const bool record = runtime::recording({&hidden}, {vocab.weight, vocab.bias});
  TANDEM_CHECK(!record || !Tape::current()->recomputes(),
               "linear_cross_entropy inside a recomputed block would add its gradient twice");
  Tensor loss = Tensor::zeros({1}, DType::kF32, hidden.device());
  Tensor dhidden = record ? empty_like(hidden) : Tensor();
  for_each_chunk(hidden, vocab, [&](std::int64_t begin, std::int64_t rows) {
    const Tensor x = hidden.rows(begin, rows);
    const Tensor logits = chunk_logits(x, vocab, 1.0f);
    const Tensor chunk_targets = targets.rows(begin, rows);
    const ChunkStats stats = chunk_stats(logits, vocab, chunk_targets);
    Tensor g = weights.rows(begin, rows).clone();
    backend.scale(g, -1.0f);
    backend.add_dot(g, stats.log_prob, loss);
    if (!record) return;
    Tensor dlogits = Tensor::empty(logits.shape(), hidden.dtype(), hidden.device());
    backend.softmax_backward(logits, stats.lse, chunk_targets, vocab.first_row, g, Tensor(),
                             Tensor(), dlogits);
    Tensor dx = dhidden.rows(begin, rows);
    backward_through_matrix(dlogits, x, vocab, dx);
  });
  if (!record) return loss;
  // The matrix gradient has been added already; the tape still counts this use, so that the leaf is
  // ready in its turn.
  Tape::current()->record(
      "linear_cross_entropy", {&hidden}, {&loss}, {vocab.weight, vocab.bias},
      [dhidden, vocab](BackwardContext& context) mutable {
        // Looked at where that does not make the host wait; callers are the same on every device.
        TANDEM_CHECK(
            context.grad_output(0).device().type != runtime::DeviceType::kCPU ||
                context.grad_output(0).to_vector<float>()[0] == 1.0f,
            "the gradient of linear_cross_entropy's loss must be 1: scale its weights instead");
        vocab.tp.all_reduce(dhidden, ReduceOp::kSum, "vocab-parallel input gradient").wait();
        context.add_grad_input(0, dhidden);
      });
  return loss;
}

LogProbs linear_log_prob(const Tensor& hidden, const VocabShard& vocab, const Tensor& targets,
                         float temperature) {
  check_inputs(hidden, vocab, targets);
  const std::int64_t n = hidden.dim(0);
  const runtime::Device device = hidden.device();
  LogProbs out{Tensor::empty({n}, DType::kF32, device), Tensor::empty({n}, DType::kF32, device)};
  Tensor lse = Tensor::empty({n}, DType::kF32, device);
  Backend& backend = backend_of(hidden);
  for_each_chunk(hidden, vocab, [&](std::int64_t begin, std::int64_t rows) {
    const Tensor logits = chunk_logits(hidden.rows(begin, rows), vocab, temperature);
    const ChunkStats stats = chunk_stats(logits, vocab, targets.rows(begin, rows));
    const auto store = [&](const Tensor& from, Tensor& all) {
      Tensor to = all.rows(begin, rows);
      backend.copy(from, to);
    };
    store(stats.lse, lse);
    store(stats.log_prob, out.log_prob);
    store(stats.entropy, out.entropy);
  });
  if (!runtime::recording({&hidden}, {vocab.weight, vocab.bias})) return out;
  Tape::current()->record(
      "linear_log_prob", {&hidden}, {&out.log_prob, &out.entropy}, {vocab.weight, vocab.bias},
      [hidden = hidden.detach(), vocab, targets, temperature, lse,
       entropy = out.entropy.detach()](BackwardContext& context) {
        const Tensor& g_log_prob = context.grad_output(0);
        const Tensor& g_entropy = context.grad_output(1);
        Backend& own = backend_of(hidden);
        const Tensor no_grad = g_log_prob.defined()
                                   ? Tensor()
                                   : Tensor::zeros({hidden.dim(0)}, DType::kF32, hidden.device());
        const Tensor& g = g_log_prob.defined() ? g_log_prob : no_grad;
        Tensor dhidden = empty_like(hidden);
        for_each_chunk(hidden, vocab, [&](std::int64_t begin, std::int64_t rows) {
          const Tensor x = hidden.rows(begin, rows);
          Tensor logits = chunk_logits(x, vocab, temperature);
          Tensor dlogits = Tensor::empty(logits.shape(), hidden.dtype(), hidden.device());
          own.softmax_backward(
              logits, lse.rows(begin, rows), targets.rows(begin, rows), vocab.first_row,
              g.rows(begin, rows), g_entropy.defined() ? entropy.rows(begin, rows) : Tensor(),
              g_entropy.defined() ? g_entropy.rows(begin, rows) : Tensor(), dlogits);
          if (temperature != 1.0f) own.scale(dlogits, 1.0f / temperature);
          Tensor dx = dhidden.rows(begin, rows);
          backward_through_matrix(dlogits, x, vocab, dx);
        });
        vocab.tp.all_reduce(dhidden, ReduceOp::kSum, "vocab-parallel input gradient").wait();
        context.add_grad_input(0, dhidden);
      });
  return out;
}

Tensor gathered_logits(const Tensor& hidden, const VocabShard& vocab, std::int64_t vocab_size) {
  const runtime::TapeScope no_recording(nullptr);
  const std::int64_t n = hidden.dim(0);
  const bool alone = vocab.tp.size() == 1;
  // Every rank sends the same padded width; rows are put together on the host side of the gather.
  const std::int64_t width = alone ? vocab.rows : vocab.weight->value.dim(0);
  Tensor own = Tensor::empty({n, width}, DType::kF32, hidden.device());
  backend_of(hidden).few_rows_matmul(
      hidden, vocab.weight->value.rows(0, width), own,
      vocab.bias == nullptr ? Tensor() : vocab.bias->value.slice(0, {width}));
  if (alone) return own;
  Tensor all = Tensor::empty({vocab.tp.size(), n, width}, DType::kF32, hidden.device());
  vocab.tp.all_gather(own, all, "gather logits").wait();
  Tensor logits = Tensor::empty({n, vocab_size}, DType::kF32, hidden.device());
  backend_of(hidden).concat_columns(all, logits);
  return logits;
}

}  // namespace tandem::parallel
