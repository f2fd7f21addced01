#include "parallel/ops/context_attention.h"

#include <algorithm>

#include "runtime/base/context_division.h"
#include "runtime/kernels/backend.h"

namespace tandem::parallel {

using runtime::backend_of;
using runtime::BackwardContext;
using runtime::chunks_of_rank;
using runtime::DType;
using runtime::HeadsView;
using runtime::PackedHeads;
using runtime::Saved;
using runtime::Tape;
using runtime::Tensor;
using runtime::TokenRange;

namespace {

using Borders = std::vector<std::int32_t>;
using Rows = std::vector<std::int32_t>;

// Calls visit(sequence, its first token, chunk) for a rank's chunks in the order of its rows.
template <typename Visit>
void for_each_chunk(const Borders& whole, int rank, int ranks, const Visit& visit) {
  for (std::size_t s = 0; s + 1 < whole.size(); ++s)
    for (const TokenRange& chunk : chunks_of_rank(whole[s + 1] - whole[s], rank, ranks))
      if (chunk.count() > 0) visit(s, whole[s], chunk);
}

std::int64_t rows_of_rank(const Borders& whole, int rank, int ranks) {
  std::int64_t rows = 0;
  for_each_chunk(whole, rank, ranks, [&](std::size_t, std::int64_t, const TokenRange& chunk) {
    rows += chunk.count();
  });
  return rows;
}

// By token of the whole sequences: its row among the ranks' rows one after the other.
Rows rows_of_tokens(const Borders& whole, std::int64_t rows, int ranks) {
  Rows result(static_cast<std::size_t>(whole.back()));
  for (int rank = 0; rank < ranks; ++rank) {
    auto next = static_cast<std::int32_t>(rank * rows);
    for_each_chunk(whole, rank, ranks, [&](std::size_t, std::int64_t first, const TokenRange& c) {
      for (std::int64_t token = first + c.begin; token < first + c.end; ++token)
        result[static_cast<std::size_t>(token)] = next++;
    });
  }
  return result;
}

// Rows of the key and value heads, where every head of every token is a row.
Tensor key_value_heads(const PackedHeads& heads, std::int64_t rows, runtime::Device device) {
  const std::int64_t all = heads.heads + 2 * heads.kv_heads;
  Rows picked;
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

// What this rank's chunks see: [key rows, k heads | v heads].
Tensor gathered_keys(const Tensor& qkv, const PackedHeads& heads, const ContextPlan& plan) {
  const std::int64_t width = 2 * heads.kv_heads * heads.head_dim;
  const Tensor picked = key_value_heads(heads, plan.rows(), qkv.device());
  Tensor own = Tensor::empty({picked.elements(), heads.head_dim}, qkv.dtype(), qkv.device());
  backend_of(qkv).gather_rows(as_heads(qkv, heads), picked, own);
  Tensor all = Tensor::empty({plan.cp().size() * plan.rows(), width}, qkv.dtype(), qkv.device());
  plan.cp().all_gather(own, all, "keys and values").wait();
  Tensor seen = Tensor::empty({plan.key_rows().elements(), width}, qkv.dtype(), qkv.device());
  backend_of(qkv).gather_rows(all, plan.key_rows(), seen);
  return seen;
}

// From the gradients of what this rank's chunks see to those of its own keys and values, which are
// added to the packed gradient's columns.
void return_gradients(const Tensor& dseen, const PackedHeads& heads, const ContextPlan& plan,
                      Tensor& dqkv) {
  const std::int64_t width = dseen.dim(1);
  Tensor all =
      Tensor::zeros({plan.cp().size() * plan.rows(), width}, dseen.dtype(), dseen.device());
  backend_of(all).scatter_add_rows(dseen, plan.key_rows(), all);
  Tensor own = Tensor::empty({plan.rows(), width}, dseen.dtype(), dseen.device());
  plan.cp().reduce_scatter(all, own, ReduceOp::kSum, "gradients of keys and values").wait();
  Tensor rows = as_heads(dqkv, heads);
  backend_of(rows).scatter_add_rows(as_heads(own, heads),
                                    key_value_heads(heads, plan.rows(), dqkv.device()), rows);
}

runtime::AttentionShape shape_of(const PackedHeads& heads, const ContextPlan& plan,
                                 const runtime::AttentionOptions& options) {
  return {.cu_seqlens_q = plan.borders(),
          .cu_seqlens_k = plan.key_borders(),
          .causal = plan.causal(),
          .scale = attention_scale(options, heads),
          .window = options.window};
}

}  // namespace

std::int64_t context_rows(const std::vector<std::int32_t>& whole_borders, int ranks) {
  std::int64_t most = 0;
  if (whole_borders.empty()) return 0;
  for (int rank = 0; rank < ranks; ++rank)
    most = std::max(most, rows_of_rank(whole_borders, rank, ranks));
  return most;
}

ContextPlan::ContextPlan(const std::vector<std::int32_t>& whole_borders, std::int64_t rows,
                         bool causal, Group cp, runtime::Device device)
    : cp_(std::move(cp)), causal_(causal), rows_(rows) {
  const Rows row_of = rows_of_tokens(whole_borders, rows, cp_.size());
  Rows keys;
  const auto close = [&](std::int64_t queries) {
    borders_.push_back(static_cast<std::int32_t>(borders_.back() + queries));
    key_borders_.push_back(static_cast<std::int32_t>(keys.size()));
  };
  for_each_chunk(whole_borders, cp_.rank(), cp_.size(),
                 [&](std::size_t s, std::int64_t first, const TokenRange& chunk) {
                   const auto from = row_of.begin() + first;
                   const auto to =
                       causal ? from + chunk.end : row_of.begin() + whole_borders[s + 1];
                   keys.insert(keys.end(), from, to);
                   close(chunk.count());
                 });
  const std::int64_t filled = rows - borders_.back();
  TANDEM_CHECK(filled >= 0, "{} rows for {} tokens of a rank", rows, borders_.back());
  if (filled > 0) {
    for (std::int64_t row = rows - filled; row < rows; ++row)
      keys.push_back(static_cast<std::int32_t>(cp_.rank() * rows + row));
    close(filled);
  }
  key_rows_ = Tensor::from(keys, {static_cast<std::int64_t>(keys.size())}, device);
}

Tensor context_attention(const Tensor& qkv, const PackedHeads& heads,
                         const std::shared_ptr<const ContextPlan>& plan,
                         const runtime::AttentionOptions& options) {
  TANDEM_CHECK(
      qkv.dim(1) == heads.width() && qkv.dim(0) == plan->rows() && !options.distance_bias.defined(),
      "context attention over {} with {} rows", qkv.str(), plan->rows());
  Tensor out = Tensor::empty({qkv.dim(0), heads.heads * heads.head_dim}, qkv.dtype(), qkv.device());
  Tensor lse = Tensor::empty({heads.heads, qkv.dim(0)}, DType::kF32, qkv.device());
  {
    const Tensor kv = gathered_keys(qkv, heads, *plan);
    backend_of(qkv).attention_forward(heads.q(qkv), keys_of(kv, heads), values_of(kv, heads),
                                      shape_of(heads, *plan, options), out, lse);
  }
  if (!runtime::recording({&qkv})) return out;
  const Saved saved_qkv(qkv), saved_out = runtime::save_output(out), saved_lse(lse);
  Tape::current()->record(
      "context_attention", {&qkv}, {&out}, {},
      [saved_qkv, saved_out, saved_lse, heads, plan, options](BackwardContext& context) {
        const Tensor qkv = saved_qkv.get(), kv = gathered_keys(qkv, heads, *plan),
                     dkv = empty_like(kv);
        Tensor dqkv = Tensor::zeros(qkv.shape(), qkv.dtype(), qkv.device());
        backend_of(qkv).attention_backward(heads.q(qkv), keys_of(kv, heads), values_of(kv, heads),
                                           saved_out.get(), saved_lse.get(), context.grad_output(0),
                                           shape_of(heads, *plan, options), heads.q(dqkv),
                                           keys_of(dkv, heads), values_of(dkv, heads));
        return_gradients(dkv, heads, *plan, dqkv);
        context.add_grad_input(0, dqkv);
      });
  return out;
}

}  // namespace tandem::parallel
