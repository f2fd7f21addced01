// What PPO and rejection sampling do with the policy's model: sample responses, compute the
// log-probabilities that training sees, update.
#pragma once

#include <vector>

#include "models/generation/generate.h"
#include "parallel/mesh/mesh.h"
#include "rl/objectives.h"
#include "rl/ppo.h"
#include "train/engine.h"

namespace tandem::rl {

// Consecutive groups of at most `size` samples.
std::vector<std::vector<std::int64_t>> micro_batches(const std::vector<std::int64_t>& samples,
                                                     std::int64_t size);

// Responses to this replica's prompts; `first_id` numbers the first one. Then all replicas'
// rollouts, in order of ids, on every rank. log_probs are those seen while sampling.
std::vector<Rollout> sample_rollouts(models::Model& model, const parallel::Mesh& mesh,
                                     const std::vector<std::vector<std::int32_t>>& prompts,
                                     std::int64_t first_id, const models::GenerateOptions& options);

// Replaces log_probs by those of the training forward. Packed exactly as the first epoch of `plan`
// will pack them, so that the first importance ratio is 1 to the last bit: a product's rounding may
// depend on how many rows it has.
void refresh_log_probs(models::Model& model, const parallel::Mesh& mesh,
                       std::vector<Rollout>& rollouts, const std::vector<Minibatch>& plan,
                       std::int64_t micro_batch_size, float temperature);

struct PolicyUpdate {
  PolicyLoss loss;     // shares summed: means over the minibatch; dlog_probs is empty
  double entropy = 0;  // mean per token of the policy's distribution
  double grad_norm = 0;
};

// One optimizer step on a minibatch.
PolicyUpdate update_policy(train::Engine& engine, const std::vector<Rollout>& rollouts,
                           const Experience& experience, const Minibatch& minibatch,
                           std::int64_t micro_batch_size, float temperature,
                           const PolicyLossOptions& options, double learning_rate,
                           double clip_grad_norm);

}  // namespace tandem::rl
