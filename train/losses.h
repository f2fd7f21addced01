// Objectives of supervised and preference training, after the log-probabilities and scores: pure
// functions on small host vectors that return the loss and its gradient, which the caller feeds
// back into the tape. The heavy part (the linear layer over the vocabulary fused with the
// log-probability) stays on the device.
//
// Normalisation: each function divides by a *global* count (over all data-parallel ranks and
// accumulation steps) that the caller passes in. Every number of a result is therefore this
// micro-batch's share of the global mean: shares and gradients simply add up, whatever the layout
// and however unevenly the tokens fell. All arithmetic is in fp64; gradients are rounded to fp32
// once.
#pragma once

#include <span>
#include <vector>

namespace tandem::train {

struct TokenLoss {
  double loss = 0;                // nats
  std::vector<float> dlog_probs;  // [tokens]
};

// Masked mean negative log-likelihood: −Σ weight·log_prob / global_weight. `weights` [tokens] is
// the loss mask (0 or 1, or any non-negative weight), `global_weight` its sum over the global
// batch; 0 gives loss 0 and zero gradients.
TokenLoss sft_loss(std::span<const float> log_probs, std::span<const float> weights,
                   double global_weight);

struct PairLossOptions {
  // Adds coefficient · mean((chosen + rejected)²), which keeps scores centred at 0 (Eisenstein et
  // al. 2023, "Helping or Herding?", eq. 2).
  double center_rewards_coefficient = 0;
};

struct RewardLoss {
  double loss = 0;
  double accuracy = 0;                    // share of pairs with chosen > rejected
  double margin = 0;                      // share of the mean of chosen − rejected
  std::vector<float> dchosen, drejected;  // [pairs]
};

// Bradley–Terry: −log σ(chosen − rejected − margin) (Ouyang et al. 2022, eq. 1; margins as in Llama
// 2, eq. 2). `margins` is empty or [pairs].
RewardLoss bradley_terry_loss(std::span<const float> chosen, std::span<const float> rejected,
                              std::span<const float> margins, double global_pairs,
                              const PairLossOptions& options = {});

struct DpoOptions {
  double beta = 0.1;
  // Probability that a preference is flipped (Mitchell 2023, "A note on DPO with noisy
  // preferences"): the loss is −(1−ε)·log σ(βΔ) − ε·log σ(−βΔ).
  double label_smoothing = 0;
};

// Log-probabilities of whole completions (sums over their tokens), [pairs] each.
struct DpoInputs {
  std::span<const float> policy_chosen, policy_rejected;
  std::span<const float> reference_chosen, reference_rejected;
};

struct DpoLoss {
  double loss = 0;
  double chosen_reward = 0;  // share of the mean of β·(policy − reference)
  double rejected_reward = 0;
  double accuracy = 0;  // share of pairs whose chosen reward is the larger
  double margin = 0;    // share of the mean of chosen reward − rejected reward
  // [pairs]: the gradient of a completion's summed log-probability, and so of each of its tokens.
  std::vector<float> dchosen, drejected;
};

// Rafailov et al. 2023, eq. 7, with Δ = (policy − reference) of chosen − the same of rejected.
DpoLoss dpo_loss(const DpoInputs& inputs, double global_pairs, const DpoOptions& options = {});

}  // namespace tandem::train
