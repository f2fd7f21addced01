#include "rl/config.h"

#include <fmt/format.h>

namespace tandem::rl {

using runtime::FieldVisitor;
using train::Complain;
using train::require_not_negative;
using train::require_positive;
using train::require_within;
using train::within;

namespace {

void visit_rollouts(FieldVisitor& v, PpoConfig& c) {
  v.field({"total_episodes",
           "responses sampled over the whole stage; a multiple of rollout_batch_size", "responses"},
          c.total_episodes);
  v.field({"rollout_batch_size", "responses sampled, over all ranks, before each round of updates",
           "responses"},
          c.rollout_batch_size);
  v.field({"prompt_length", "longest prompt; of a longer one the end is kept", "tokens"},
          c.prompt_length);
  v.field({"response_length", "longest response", "tokens"}, c.response_length);
  v.field({"temperature", "divides the logits in sampling, in the reference and in the update"},
          c.temperature);
}

void visit_rewards(FieldVisitor& v, PpoConfig& c) {
  v.field({"kl_coef", "weight of the KL penalty against the reference in the reward"}, c.kl_coef);
  v.choice({"kl_estimator", "k1: log ratio, unbiased; k3: never negative, unbiased"},
           c.kl_estimator, {"k1", "k3"});
  v.field({"kl_target", "KL to the reference that kl_coef is steered to; 0 leaves kl_coef as it is",
           "nats per response"},
          c.kl_target);
  v.field(
      {"kl_horizon",
       "how slowly kl_coef is steered: responses until it has changed by a factor e at 100 % error",
       "responses"},
      c.kl_horizon);
  v.field({"normalize_scores",
           "shift and scale scores to mean 0 and deviation 1 over the starting policy's responses"},
          c.normalize_scores);
  v.field({"calibration_samples", "responses that normalize_scores measures before training",
           "responses"},
          c.calibration_samples);
  v.field({"score_clip", "largest absolute score, after normalisation; 0 does not clip"},
          c.score_clip);
  v.field(
      {"missing_eos_penalty", "subtracted from the score of a response that did not end by itself"},
      c.missing_eos_penalty);
  v.field({"whiten_rewards", "scale rewards to deviation 1 over the batch, leaving their mean"},
          c.whiten_rewards);
}

void visit_updates(FieldVisitor& v, PpoConfig& c) {
  v.field({"gamma", "discount of later rewards"}, c.gamma);
  v.field(
      {"lam",
       "lambda of generalised advantage estimation: 0 trusts the critic, 1 the sampled rewards"},
      c.lam);
  v.field({"whiten_advantages",
           "shift and scale advantages to mean 0 and deviation 1 over all tokens of all ranks"},
          c.whiten_advantages);
  v.field({"num_ppo_epochs", "passes over each batch of rollouts", "epochs"}, c.num_ppo_epochs);
  v.field({"num_mini_batches", "optimizer steps per pass", "steps"}, c.num_mini_batches);
  v.field({"micro_batch_size",
           "responses per forward pass of one rank; the rest of its share is accumulated; 0 takes "
           "the whole share",
           "sequences"},
          c.micro_batch_size);
  v.field({"cliprange", "the policy's ratio counts within 1 ± this"}, c.cliprange);
  v.field({"dual_clip", "bound of the loss where the advantage is negative, > 1; 0 has none"},
          c.dual_clip);
  v.field({"target_kl", "an update that moved the policy further ends the round; 0 never does",
           "nats per token"},
          c.target_kl);
  v.field({"cliprange_value",
           "a value counts within ± this of the value before the round; 0 does not clip"},
          c.cliprange_value);
  v.field({"vf_coef", "factor of the critic's loss"}, c.vf_coef);
  v.field({"critic_warmup_iterations", "rounds at the beginning in which only the critic learns",
           "rounds"},
          c.critic_warmup_iterations);
  v.nested({"optimizer", "AdamW of the policy"}, c.optimizer);
  v.nested({"critic_optimizer", "AdamW of the critic"}, c.critic_optimizer);
  v.nested({"schedule", "the learning rate of both over the optimizer steps"}, c.schedule);
}

void visit_run(FieldVisitor& v, PpoConfig& c) {
  train::visit_precision(v, c.precision);
  v.nested({"loss_scale", "with precision: fp16, so that small gradients survive"}, c.loss_scale);
  v.nested({"fp8", "of roles that are trained in fp8, how numbers are scaled into 8 bits"}, c.fp8);
  train::visit_activations(v, c.activations);
  v.field({"log_every", "between two lines of metrics.jsonl", "rounds"}, c.log_every);
  v.field({"eval_every", "between evaluations on held-out prompts; 0 evaluates at the end only",
           "rounds"},
          c.eval_every);
  v.field(
      {"save_every", "between checkpoints; 0 saves at the end and when interrupted only", "rounds"},
      c.save_every);
  v.field({"keep_checkpoints", "latest checkpoints that stay on disk", "checkpoints"},
          c.keep_checkpoints);
  v.nested({"samples", "texts generated at each evaluation"}, c.samples);
}

void check_rewards(const PpoConfig& c, const Complain& complain) {
  require_not_negative(c.kl_coef, "kl_coef", complain);
  require_not_negative(c.kl_target, "kl_target", complain);
  require_positive(c.kl_horizon, "kl_horizon", complain);
  if (c.normalize_scores && c.calibration_samples < 2)
    complain("calibration_samples", fmt::format("must be at least 2 to measure a deviation, got {}",
                                                c.calibration_samples));
  require_not_negative(c.score_clip, "score_clip", complain);
  require_not_negative(c.missing_eos_penalty, "missing_eos_penalty", complain);
}

void check_updates(const PpoConfig& c, const Complain& complain) {
  require_within(c.gamma, 0, 1, "gamma", complain);
  require_within(c.lam, 0, 1, "lam", complain);
  require_positive(static_cast<double>(c.num_ppo_epochs), "num_ppo_epochs", complain);
  require_positive(static_cast<double>(c.num_mini_batches), "num_mini_batches", complain);
  require_not_negative(static_cast<double>(c.micro_batch_size), "micro_batch_size", complain);
  require_positive(c.cliprange, "cliprange", complain);
  if (c.dual_clip != 0 && c.dual_clip <= 1)
    complain("dual_clip", fmt::format("must be more than 1, or 0 for none, got {}", c.dual_clip));
  require_not_negative(c.target_kl, "target_kl", complain);
  require_not_negative(c.cliprange_value, "cliprange_value", complain);
  require_positive(c.vf_coef, "vf_coef", complain);
  require_not_negative(static_cast<double>(c.critic_warmup_iterations), "critic_warmup_iterations",
                       complain);
}

}  // namespace

void SamplingConfig::visit_fields(FieldVisitor& v) {
  v.field({"prompt_length", "longest prompt; of a longer one the end is kept", "tokens"},
          prompt_length);
  v.field({"response_length", "longest response", "tokens"}, response_length);
  v.field({"temperature", "divides the logits; 0 always takes the likeliest token"}, temperature);
  v.field({"top_k", "samples among the likeliest k tokens; 0 among all", "tokens"}, top_k);
  v.field({"top_p", "samples among the likeliest tokens that together have this probability"},
          top_p);
}

void check(const SamplingConfig& c, const Complain& complain) {
  require_positive(static_cast<double>(c.prompt_length), "prompt_length", complain);
  require_positive(static_cast<double>(c.response_length), "response_length", complain);
  require_not_negative(c.temperature, "temperature", complain);
  require_not_negative(static_cast<double>(c.top_k), "top_k", complain);
  if (c.top_p <= 0 || c.top_p > 1)
    complain("top_p", fmt::format("must be in (0, 1], got {}", c.top_p));
}

void PpoConfig::visit_fields(FieldVisitor& v) {
  visit_rollouts(v, *this);
  visit_rewards(v, *this);
  visit_updates(v, *this);
  visit_run(v, *this);
}

void check(const PpoConfig& c, const Complain& complain) {
  require_positive(static_cast<double>(c.total_episodes), "total_episodes", complain);
  require_positive(static_cast<double>(c.rollout_batch_size), "rollout_batch_size", complain);
  if (c.rollout_batch_size > 0 && c.total_episodes % c.rollout_batch_size != 0)
    complain("total_episodes",
             fmt::format("{} is not a multiple of rollout_batch_size {}; the nearest is {}",
                         c.total_episodes, c.rollout_batch_size,
                         (c.total_episodes / c.rollout_batch_size + 1) * c.rollout_batch_size));
  require_positive(static_cast<double>(c.prompt_length), "prompt_length", complain);
  require_positive(static_cast<double>(c.response_length), "response_length", complain);
  require_positive(c.temperature, "temperature", complain);
  check_rewards(c, complain);
  check_updates(c, complain);
  check(c.optimizer, within("optimizer", complain));
  check(c.critic_optimizer, within("critic_optimizer", complain));
  check_master_weights(c.optimizer, "optimizer.master_weights", c.precision, complain);
  check_master_weights(c.critic_optimizer, "critic_optimizer.master_weights", c.precision,
                       complain);
  check(c.schedule, within("schedule", complain));
  check(c.loss_scale, within("loss_scale", complain));
  check(c.fp8, within("fp8", complain));
  require_positive(static_cast<double>(c.log_every), "log_every", complain);
  require_not_negative(static_cast<double>(c.eval_every), "eval_every", complain);
  require_not_negative(static_cast<double>(c.save_every), "save_every", complain);
  require_positive(static_cast<double>(c.keep_checkpoints), "keep_checkpoints", complain);
  check(c.samples, within("samples", complain));
}

}  // namespace tandem::rl
