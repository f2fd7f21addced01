#include "parallel/ops/context_attention.h"

#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::backend_of;
using runtime::BackwardContext;
using runtime::DType;
using runtime::HeadsView;
using runtime::PackedHeads;
using runtime::Saved;
using runtime::Tape;
using runtime::Tensor;
using runtime::TokenRange;

namespace {

using Borders = std::vector<std::int32_t>;

// Rows of the key and value heads, where every head of every token is a row.
Tensor key_value_heads(const PackedHeads& heads, std::int64_t rows, runtime::Device device) {
  const std::int64_t all = heads.heads + 2 * heads.kv_heads;
  std::vector<std::int32_t> picked;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t head = heads.heads; head < all; ++head)
      picked.push_back(static_cast<std::int32_t>(row * all + head));
  return Tensor::from(picked, {static_cast<std::int64_t>(picked.size())}, device);
}

Tensor as_heads(const Tensor& qkv, const PackedHeads& heads) {
  return qkv.detach().view({-1, heads.head_dim});
}

HeadsView keys_of(const Tensor& kv, const PackedHeads& heads) {
  return {kv, 0, heads.kv_heads, heads.head_dim};
}
HeadsView values_of(const Tensor& kv, const PackedHeads& heads) {
  return {kv, heads.kv_heads * heads.head_dim, heads.kv_heads, heads.head_dim};
}

// [rows, q | k | v heads] → [rows, k heads | v heads]
Tensor own_keys(const Tensor& qkv, const PackedHeads& heads) {
  const Tensor picked = key_value_heads(heads, qkv.dim(0), qkv.device());
  Tensor own =
      Tensor::empty({qkv.dim(0), 2 * heads.kv_heads * heads.head_dim}, qkv.dtype(), qkv.device());
  Tensor by_head = own.view({-1, heads.head_dim});
  backend_of(qkv).gather_rows(as_heads(qkv, heads), picked, by_head);
  return own;
}

// From all ranks' keys and values, those that this rank's chunks see.
Tensor gathered(const Tensor& own, const ContextPlan& plan) {
  Tensor all =
      Tensor::empty({plan.cp().size() * plan.key_rows(), own.dim(1)}, own.dtype(), own.device());
  plan.cp().all_gather(own, all, "keys and values").wait();
  Tensor seen = Tensor::empty({plan.seen().elements(), own.dim(1)}, own.dtype(), own.device());
  backend_of(own).gather_rows(all, plan.seen(), seen);
  return seen;
}

// From the gradients of what this rank's chunks see to those of its own keys and values.
Tensor returned(const Tensor& dseen, const ContextPlan& plan) {
  const std::int64_t width = dseen.dim(1);
  Tensor all =
      Tensor::zeros({plan.cp().size() * plan.key_rows(), width}, dseen.dtype(), dseen.device());
  backend_of(all).scatter_add_rows(dseen, plan.seen(), all);
  Tensor own = Tensor::empty({plan.key_rows(), width}, dseen.dtype(), dseen.device());
  plan.cp().reduce_scatter(all, own, ReduceOp::kSum, "gradients of keys and values").wait();
  return own;
}

// Chunks that the kernels take at once: rows of queries and of the keys that are seen, and their
// borders within these.
struct Call {
  TokenRange queries, keys;
  Borders query_borders = {0}, key_borders = {0};
  std::int64_t keys_behind = 0;

  void add(const ContextPlan::Chunk& chunk) {
    queries.end += chunk.queries;
    keys.end += chunk.keys;
    query_borders.push_back(static_cast<std::int32_t>(queries.count()));
    key_borders.push_back(static_cast<std::int32_t>(keys.count()));
    keys_behind = chunk.keys_behind;
  }
};

// All chunks, or one after the other where there is a bias by distance: kernels count distances as
// if the last query met the last key.
std::vector<Call> calls_of(const ContextPlan& plan, const runtime::AttentionOptions& options) {
  const bool apart = options.distance_bias.defined() && !plan.causal();
  std::vector<Call> calls(1);
  for (const ContextPlan::Chunk& chunk : plan.chunks()) {
    if (apart && calls.back().queries.count() > 0) {
      const std::int64_t query = calls.back().queries.end, key = calls.back().keys.end;
      calls.push_back({{query, query}, {key, key}});
    }
    calls.back().add(chunk);
  }
  return calls;
}

Tensor rows_of(const Tensor& tensor, const TokenRange& range) {
  return tensor.rows(range.begin, range.count());
}
HeadsView rows_of(const HeadsView& view, const TokenRange& range) {
  return {rows_of(view.rows, range), view.offset, view.heads, view.head_dim};
}

// Attention of this rank's queries to what they see.
struct Attention {
  PackedHeads heads;
  std::shared_ptr<const ContextPlan> plan;
  runtime::AttentionOptions options;
  std::vector<Call> calls;

  Attention(const PackedHeads& heads, std::shared_ptr<const ContextPlan> plan,
            const runtime::AttentionOptions& options)
      : heads(heads),
        plan(std::move(plan)),
        options(options),
        calls(calls_of(*this->plan, options)) {
    this->options.distance_bias = options.distance_bias.detach();
  }

  runtime::AttentionShape shape(const Call& call) const {
    return {.cu_seqlens_q = call.query_borders,
            .cu_seqlens_k = call.key_borders,
            .causal = plan->causal(),
            .scale = attention_scale(options, heads),
            .window = options.window,
            .bias = {options.distance_bias, {}, options.bias_zero - call.keys_behind}};
  }

  // What is to be saved: the output and, of each call, the log-sum-exp.
  struct Result {
    Tensor out;
    std::vector<Tensor> lse;
  };
  Result forward(const HeadsView& q, const Tensor& seen) const {
    const Tensor& rows = q.rows;
    Result result{
        Tensor::empty({rows.dim(0), heads.heads * heads.head_dim}, rows.dtype(), rows.device()),
        {}};
    for (const Call& call : calls) {
      Tensor out = rows_of(result.out, call.queries);
      result.lse.push_back(
          Tensor::empty({heads.heads, call.queries.count()}, DType::kF32, rows.device()));
      backend_of(rows).attention_forward(
          rows_of(q, call.queries), rows_of(keys_of(seen, heads), call.keys),
          rows_of(values_of(seen, heads), call.keys), shape(call), out, result.lse.back());
    }
    return result;
  }

  // The gradient of the queries goes to `dq`, that of a bias to input 0 of the record. Returns that
  // of what is seen.
  Tensor backward(const HeadsView& q, const Tensor& seen, const Result& saved, const HeadsView& dq,
                  BackwardContext& context) const {
    Tensor dseen = empty_like(seen);
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const Call& call = calls[i];
      runtime::AttentionShape shaped = shape(call);
      const bool biased = context.needs_grad(0);
      if (biased) shaped.bias.grad = empty_like(shaped.bias.values);
      backend_of(seen).attention_backward(
          rows_of(q, call.queries), rows_of(keys_of(seen, heads), call.keys),
          rows_of(values_of(seen, heads), call.keys), rows_of(saved.out, call.queries),
          saved.lse[i], rows_of(context.grad_output(0), call.queries), shaped,
          rows_of(dq, call.queries), rows_of(keys_of(dseen, heads), call.keys),
          rows_of(values_of(dseen, heads), call.keys));
      if (biased) context.add_grad_input(0, shaped.bias.grad);
    }
    return dseen;
  }
};

// An Attention::Result until backward.
struct SavedResult {
  Saved out;
  std::vector<Saved> lse;

  explicit SavedResult(Attention::Result& result) : out(runtime::save_output(result.out)) {
    for (const Tensor& each : result.lse) lse.emplace_back(each);
  }
  Attention::Result get() const {
    Attention::Result result{out.get(), {}};
    for (const Saved& each : lse) result.lse.push_back(each.get());
    return result;
  }
};

// By the rows of self-attention.
Tensor gathered_own(const Tensor& qkv, const Attention& attention) {
  return gathered(own_keys(qkv, attention.heads), *attention.plan);
}

HeadsView queries_of(const Tensor& q, const PackedHeads& heads) {
  return {q, 0, heads.heads, heads.head_dim};
}

}  // namespace

Tensor context_attention(const Tensor& qkv, const PackedHeads& heads,
                         const std::shared_ptr<const ContextPlan>& plan,
                         const runtime::AttentionOptions& options) {
  TANDEM_CHECK(qkv.dim(1) == heads.width() && qkv.dim(0) == plan->query_rows() &&
                   plan->query_rows() == plan->key_rows(),
               "context attention over {} with {} rows", qkv.str(), plan->query_rows());
  const Attention attention(heads, plan, options);
  Attention::Result result = attention.forward(heads.q(qkv), gathered_own(qkv, attention));
  if (!runtime::recording({&qkv, &options.distance_bias})) return result.out;
  const Saved saved_qkv(qkv);
  const SavedResult saved(result);
  Tape::current()->record(
      "context_attention", {&options.distance_bias, &qkv}, {&result.out}, {},
      [saved_qkv, saved, attention](BackwardContext& context) {
        const PackedHeads& heads = attention.heads;
        const Tensor qkv = saved_qkv.get();
        Tensor dqkv = Tensor::zeros(qkv.shape(), qkv.dtype(), qkv.device());
        const Tensor dseen = attention.backward(heads.q(qkv), gathered_own(qkv, attention),
                                                saved.get(), heads.q(dqkv), context);
        const Tensor dkeys = returned(dseen, *attention.plan);
        Tensor rows = as_heads(dqkv, heads);
        backend_of(rows).scatter_add_rows(as_heads(dkeys, heads),
                                          key_value_heads(heads, qkv.dim(0), qkv.device()), rows);
        context.add_grad_input(1, dqkv);
      });
  return result.out;
}

Tensor context_cross_attention(const Tensor& q, const Tensor& kv, const PackedHeads& heads,
                               const std::shared_ptr<const ContextPlan>& plan,
                               const runtime::AttentionOptions& options) {
  TANDEM_CHECK(q.dim(0) == plan->query_rows() && kv.dim(0) == plan->key_rows() && !plan->causal(),
               "context attention of {} to {} with {} and {} rows", q.str(), kv.str(),
               plan->query_rows(), plan->key_rows());
  const Attention attention(heads, plan, options);
  Attention::Result result = attention.forward(queries_of(q, heads), gathered(kv.detach(), *plan));
  if (!runtime::recording({&options.distance_bias, &q, &kv})) return result.out;
  const Saved saved_q(q), saved_kv(kv);
  const SavedResult saved(result);
  Tape::current()->record(
      "context_cross_attention", {&options.distance_bias, &q, &kv}, {&result.out}, {},
      [saved_q, saved_kv, saved, attention](BackwardContext& context) {
        const PackedHeads& heads = attention.heads;
        const ContextPlan& plan = *attention.plan;
        const Tensor q = saved_q.get(), dq = empty_like(q);
        const Tensor dseen =
            attention.backward(queries_of(q, heads), gathered(saved_kv.get(), plan), saved.get(),
                               queries_of(dq, heads), context);
        context.add_grad_input(1, dq);
        context.add_grad_input(2, returned(dseen, plan));
      });
  return result.out;
}

}  // namespace tandem::parallel
