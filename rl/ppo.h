// An iteration of PPO as far as no model is needed: rollouts → experience → minibatches. The stage
// that owns the policy's weights drives it. In every layout all ranks of the policy hold all
// rollouts of the iteration (they are small), so every rank computes the same advantages and the
// same plan without further communication:
//
//   PpoState state;                            // or state.load_state(checkpoint)
//   while (state.iteration < iterations) {
//     // Generate for this data-parallel rank's prompts, truncate_at_eos; then all-gather
//     // pack_rollouts(own), so that every rank has all rollouts, in the order of their ids.
//     std::vector<Rollout> rollouts = …;
//     if (first_rank) evaluate_rollouts(rollouts, roles, temperature);
//     // Broadcast pack_rollouts(rollouts) from the first rank.
//     const Experience experience = assemble_experience(rollouts, options, state);
//     bool stopped = false;
//     for (const Minibatch& minibatch : plan_minibatches({…, .iteration = state.iteration})) {
//       CriticTrainRequest request = critic_request(rollouts, experience, minibatch.samples);
//       std::optional<Pending<CriticStats>> critic;
//       if (first_rank) critic = roles.critic->train(request);  // works while the policy does
//       if (trains_policy(state.iteration, critic_warmup_iterations) && !stopped) {
//         const double tokens = token_count(rollouts, minibatch.samples);
//         for (/* micro-batches of */ minibatch.slice(dp_rank, dp_size)) {
//           const PolicyBatch batch = policy_batch(rollouts, experience, micro_batch);
//           // Packed forward → log_probs of the response tokens, in the order of the batch.
//           const PolicyLoss loss = policy_loss(log_probs, batch.old_log_probs,
//                                               batch.advantages, tokens, loss_options);
//           // Feed loss.dlog_probs into the tape; add up the shares.
//         }
//         // Sum gradients and shares over the data-parallel ranks; clip; AdamW; decay.
//         stopped = exceeds_target_kl(approx_kl, target_kl);  // equal on all ranks
//       }
//       if (first_rank) critic_stats = critic->get();
//     }
//     state.finish_iteration(experience.stats);
//   }
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rl/kl_controller.h"
#include "rl/minibatches.h"
#include "rl/reward_normalizer.h"
#include "rl/rewards.h"
#include "rl/roles.h"
#include "rl/rollout.h"
#include "rl/statistics.h"

namespace tandem::rl {

struct PpoRoles {
  ReferenceRole* reference = nullptr;
  RewardRole* reward = nullptr;
  CriticRole* critic = nullptr;
};

// Fills ref_log_probs, score and values; the three roles work at the same time.
void evaluate_rollouts(std::span<Rollout> rollouts, const PpoRoles& roles, double temperature);

struct ExperienceOptions {
  std::size_t max_response_length = 0;
  FinalStep final_step = FinalStep::kAfterLastToken;
  KlEstimator kl_estimator = KlEstimator::kK1;
  ScoreOptions score = {};
  bool normalize_scores = false;  // by state.reward_normalizer
  bool whiten_rewards = false;
  bool whiten_advantages = true;
  double gamma = 1.0;
  double lambda = 0.95;
};

// Means over the responses of the iteration; those with TRL's counterpart bear its name in
// `metrics`.
struct ExperienceStats {
  std::int64_t samples = 0;
  double kl = 0;                // Σ over the tokens of a response of the estimator, nats
  double entropy = 0;           // Σ over the tokens of −log p, nats
  double non_score_reward = 0;  // −coefficient·kl
  double raw_score = 0;         // as the reward model gave it
  double score = 0;             // after normalisation, clipping and penalty
  double rlhf_reward = 0;       // score + non_score_reward
  double eos_rate = 0;
  double response_tokens = 0;
  double explained_variance = 0;
  double kl_coefficient = 0;

  // ("objective/kl", …) in a fixed order.
  std::vector<std::pair<std::string, double>> metrics() const;
};

struct Experience {
  TokenValues kl;       // [samples][response]
  TokenValues rewards;  // [samples][steps], whitened if asked for
  TokenValues
      advantages;       // [samples][response], whitened over all tokens of all ranks if asked for
  TokenValues returns;  // [samples][steps]
  ExperienceStats stats;
};

// What PPO carries from one iteration to the next; a checkpoint holds state().
struct PpoState {
  std::int64_t iteration = 0;
  KlController kl_controller{0.05};
  RewardNormalizer reward_normalizer;

  void finish_iteration(const ExperienceStats& stats);
  std::string state() const;  // three lines of text
  void load_state(std::string_view text);
};

// `global_sum` is for callers that keep only their own rollouts on each rank; its mean statistics
// are then global too.
Experience assemble_experience(std::span<const Rollout> rollouts, const ExperienceOptions& options,
                               const PpoState& state, const GlobalSum& global_sum = {});

// What the policy loss of some samples needs, their response tokens concatenated in the order of
// `samples`.
struct PolicyBatch {
  std::vector<float> old_log_probs;
  std::vector<float> advantages;
};
PolicyBatch policy_batch(std::span<const Rollout> rollouts, const Experience& experience,
                         std::span<const std::int64_t> samples);

// Batch, returns and old values of a minibatch; the caller sets learning rate, clips and step.
CriticTrainRequest critic_request(std::span<const Rollout> rollouts, const Experience& experience,
                                  std::span<const std::int64_t> samples);

// Response tokens of the samples: what the policy loss of a minibatch is divided by.
double token_count(std::span<const Rollout> rollouts, std::span<const std::int64_t> samples);

// During the first `warmup_iterations` only the critic learns: a policy that follows an untrained
// critic unlearns.
bool trains_policy(std::int64_t iteration, std::int64_t warmup_iterations);

// Whether the rest of the iteration's updates are skipped, given the global approx_kl of the last
// one.
bool exceeds_target_kl(double approx_kl, std::optional<double> target_kl);

}  // namespace tandem::rl
