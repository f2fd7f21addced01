// What a recipe says about proximal policy optimisation and about sampling. Keys are named as in
// TRL's PPOConfig where it has a name for the thing.
#pragma once

#include <cstdint>

#include "rl/rewards.h"
#include "runtime/base/dtype.h"
#include "runtime/base/fields.h"
#include "train/config.h"

namespace tandem::rl {

// How responses are sampled from a model that is not being trained on them.
struct SamplingConfig {
  std::int64_t prompt_length = 64;
  std::int64_t response_length = 64;
  double temperature = 1.0;
  std::int64_t top_k = 0;
  double top_p = 1.0;

  void visit_fields(runtime::FieldVisitor& v);
};
void check(const SamplingConfig& config, const train::Complain& complain);

// 0 switches off each of: kl_target, score_clip, cliprange_value, dual_clip, target_kl,
// missing_eos_penalty.
struct PpoConfig {
  // Rollouts.
  std::int64_t total_episodes = 4096;
  std::int64_t rollout_batch_size = 64;
  std::int64_t prompt_length = 64;
  std::int64_t response_length = 64;
  double temperature = 1.0;
  // Rewards.
  double kl_coef = 0.05;
  KlEstimator kl_estimator = KlEstimator::kK1;
  double kl_target = 0.0;
  double kl_horizon = 10000.0;
  bool normalize_scores = true;
  std::int64_t calibration_samples = 256;
  double score_clip = 0.0;
  double missing_eos_penalty = 1.0;
  bool whiten_rewards = false;
  // Advantages.
  double gamma = 1.0;
  double lam = 0.95;
  bool whiten_advantages = true;
  // Updates.
  std::int64_t num_ppo_epochs = 4;
  std::int64_t num_mini_batches = 1;
  std::int64_t micro_batch_size = 0;
  double cliprange = 0.2;
  double dual_clip = 0.0;
  double target_kl = 0.0;
  double cliprange_value = 0.2;
  double vf_coef = 0.1;
  std::int64_t critic_warmup_iterations = 0;
  train::OptimizerConfig optimizer{.learning_rate = 1e-5, .eps = 1e-5};
  train::OptimizerConfig critic_optimizer{.learning_rate = 1e-5, .eps = 1e-5};
  train::ScheduleConfig schedule{.kind = runtime::ScheduleKind::kLinear};
  // The run.
  runtime::Precision precision = runtime::Precision::kBf16;
  train::LossScaleConfig loss_scale;
  train::Fp8Config fp8;
  models::ActivationMemory activations;
  std::int64_t log_every = 1;
  std::int64_t eval_every = 0;
  std::int64_t save_every = 0;
  std::int64_t keep_checkpoints = 1;
  train::SamplesConfig samples;

  void visit_fields(runtime::FieldVisitor& v);
  // Rollout phases of the stage.
  std::int64_t iterations() const { return total_episodes / rollout_batch_size; }
  // Optimizer steps of the stage: what the schedule counts.
  std::int64_t updates() const { return iterations() * num_ppo_epochs * num_mini_batches; }
};
void check(const PpoConfig& config, const train::Complain& complain);

}  // namespace tandem::rl
