// What a micro-batch is trained on: forward, loss and backward of one packed batch. The losses
// themselves are pure functions (losses.h); here they meet the model. Results are shares of global
// means: sums over micro-batches and replicas are the numbers of the whole batch, whatever the
// layout.
#pragma once

#include <functional>
#include <vector>

#include "data/batch.h"
#include "models/model.h"
#include "runtime/tensor/tensor.h"
#include "train/losses.h"

namespace tandem::train {

// On the model's device; with what its adapter draws masks by, where it does.
models::ModelInput to_model_input(const data::Batch& batch, models::Model& model);

// Indices of the tokens that have a target.
std::vector<std::int32_t> target_rows(const data::Batch& batch);

// Σ weight over the batch's target tokens: what the causal objectives normalise by, once summed
// over the global batch.
double target_weight(const data::Batch& batch);

// Language modelling, SFT and all noise (data/noise): Σ weight·nll / global_weight. Returns the
// share of the mean loss in nats. With `backward` false nothing is recorded (evaluation).
//
// Here and below, a stage of a pipeline that does not hold the model's end has results of zero (or
// none), and no backward: its share is in the last stage's results.
double token_loss(models::Model& model, const data::Batch& batch, double global_weight,
                  bool backward);

// Log-probabilities of all targets of the batch, in token order, and what is needed to send a
// gradient back.
struct TokenLogProbs {
  std::vector<std::int32_t> rows;  // token index of each target
  std::vector<float> log_probs;
  std::vector<float> entropies;
};
// Runs forward; then `loss`, if given, turns the log-probabilities into their gradient, for a
// backward unless told otherwise.
TokenLogProbs with_log_probs(
    models::Model& model, const data::Batch& batch, float temperature,
    const std::function<std::vector<float>(const TokenLogProbs&)>& loss = {}, bool backward = true);

// Runs forward; `read` makes a few rows of the hidden states, whose values, in fp32, are the
// result. Then `loss`, if given, turns them into their gradient, for a backward unless told
// otherwise.
std::vector<float> with_outputs(
    models::Model& model, const data::Batch& batch,
    const std::function<runtime::Tensor(const runtime::Tensor& hidden)>& read,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss, bool backward);

// Scores of a scalar-head model at the given rows of this rank's tokens (the last one of each
// sequence, or every response token); `loss` as above.
std::vector<float> with_scores(
    models::Model& model, const data::Batch& batch, const std::vector<std::int32_t>& rows,
    const std::function<std::vector<float>(const std::vector<float>&)>& loss = {},
    bool backward = true);
// Index of the last token of each sequence, which is whole.
std::vector<std::int32_t> last_token_rows(const data::Batch& batch);

// Bradley–Terry over pairs (2i chosen, 2i + 1 rejected). use_margin: subtract the batch's margins.
// Here and below, of ranks that divide texts (whole_texts.h) the first one has the results.
RewardLoss reward_loss(models::Model& model, const data::Batch& batch, double global_pairs,
                       const PairLossOptions& options, bool use_margin, bool backward);

// DPO over the same pairs; `reference` [sequences] are summed log-probabilities of the completions
// by the reference.
DpoLoss dpo_step(models::Model& model, const data::Batch& batch,
                 const std::vector<float>& reference, double global_pairs,
                 const DpoOptions& options, bool backward);
// Summed log-probability of each sequence's targets, [sequences], on all ranks that divide them.
std::vector<float> sequence_log_probs(models::Model& model, const data::Batch& batch);
// The same of DPO's reference, which may be the policy itself, whose adapter is no part of it.
std::vector<float> reference_log_probs(models::Model& reference, const data::Batch& batch);

}  // namespace tandem::train
