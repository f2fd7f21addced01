// Attention over sequences that ranks divide (context parallelism). Every rank has the queries of
// its own tokens and gathers the keys and values of all: with grouped query heads those are small
// (Dubey et al. 2024, section 3.3.2). Each of its chunks then attends to what it sees of its
// sequence, as an unequal pair of texts that the kernels know.
#pragma once

#include <memory>

#include "parallel/ops/context_plan.h"
#include "runtime/autograd/ops/attention.h"

namespace tandem::parallel {

// As runtime::attention(): qkv [rows, q | k | v heads] of this rank → [rows, heads · head_dim].
// With a bias by distance and no causal mask each chunk is a call of its own, as each is elsewhere
// among the keys that it sees. Saved: qkv, out, log-sum-exp; keys are gathered again in backward.
// Collective over the plan's ranks.
runtime::Tensor context_attention(const runtime::Tensor& qkv, const runtime::PackedHeads& heads,
                                  const std::shared_ptr<const ContextPlan>& plan,
                                  const runtime::AttentionOptions& options);

// As runtime::cross_attention(): q [query rows, heads · head_dim] and kv [key rows, k heads | v
// heads] of this rank. Saved: q, kv, out, log-sum-exp.
runtime::Tensor context_cross_attention(const runtime::Tensor& q, const runtime::Tensor& kv,
                                        const runtime::PackedHeads& heads,
                                        const std::shared_ptr<const ContextPlan>& plan,
                                        const runtime::AttentionOptions& options);

}  // namespace tandem::parallel
