#include "rl/ppo.h"

#include <array>
#include <numeric>

#include "rl/advantages.h"
#include "rl/diagnostics.h"
#include "rl/state_text.h"
#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

double sum_of(std::span<const float> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

void check_filled(const Rollout& rollout) {
  const std::size_t tokens = rollout.response.size();
  TANDEM_CHECK(rollout.log_probs.size() == tokens && rollout.ref_log_probs.size() == tokens &&
                   rollout.values.size() == tokens + 1,
               "rollout {}: {} tokens, {} log-probabilities, {} of the reference, {} values",
               rollout.id, tokens, rollout.log_probs.size(), rollout.ref_log_probs.size(),
               rollout.values.size());
}

void expect_sizes(const TokenValues& answer, const SequenceBatch& batch, std::size_t extra,
                  std::string_view role) {
  bool good = answer.size() == batch.size();
  for (std::size_t i = 0; good && i < batch.size(); ++i) {
    good = answer[i].size() == batch.response_length(i) + extra;
  }
  TANDEM_CHECK(good, "the {} role answered with sizes that do not fit its batch", role);
}

std::vector<float> raw_scores(std::span<const Rollout> rollouts) {
  std::vector<float> scores;
  for (const Rollout& rollout : rollouts) scores.push_back(rollout.score);
  return scores;
}

std::vector<float> final_scores(std::span<const Rollout> rollouts, const ExperienceOptions& options,
                                const PpoState& state) {
  std::vector<float> scores = raw_scores(rollouts);
  if (options.normalize_scores) scores = state.reward_normalizer.apply(scores);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = final_score(scores[i], rollouts[i].ended_with_eos, options.score);
  }
  return scores;
}

// The sums whose global means the statistics are.
void fill_stats(ExperienceStats& stats, std::span<const Rollout> rollouts, const TokenValues& kl,
                std::span<const float> scores, const GlobalSum& global_sum) {
  std::array<double, 7> sums = {static_cast<double>(rollouts.size())};
  for (std::size_t i = 0; i < rollouts.size(); ++i) {
    sums[1] += sum_of(kl[i]);
    sums[2] -= sum_of(rollouts[i].log_probs);
    sums[3] += rollouts[i].score;
    sums[4] += scores[i];
    sums[5] += rollouts[i].ended_with_eos ? 1 : 0;
    sums[6] += static_cast<double>(rollouts[i].response.size());
  }
  if (global_sum) global_sum(sums);
  TANDEM_CHECK(sums[0] > 0, "an iteration without rollouts");
  stats.samples = static_cast<std::int64_t>(sums[0]);
  stats.kl = sums[1] / sums[0];
  stats.entropy = sums[2] / sums[0];
  stats.raw_score = sums[3] / sums[0];
  stats.score = sums[4] / sums[0];
  stats.eos_rate = sums[5] / sums[0];
  stats.response_tokens = sums[6] / sums[0];
  stats.non_score_reward = -stats.kl_coefficient * stats.kl;
  stats.rlhf_reward = stats.score + stats.non_score_reward;
}

}  // namespace

void evaluate_rollouts(std::span<Rollout> rollouts, const PpoRoles& roles, double temperature) {
  const SequenceBatch batch = sequence_batch(rollouts);
  batch.validate();
  Pending<TokenValues> reference = roles.reference->log_probs(batch, temperature);
  Pending<std::vector<float>> reward = roles.reward->score(batch);
  Pending<TokenValues> critic = roles.critic->values(batch);
  TokenValues ref_log_probs = reference.get();
  const std::vector<float> scores = reward.get();
  TokenValues values = critic.get();
  expect_sizes(ref_log_probs, batch, 0, "reference");
  expect_sizes(values, batch, 1, "critic");
  TANDEM_CHECK(scores.size() == batch.size(), "the reward role answered {} scores for {} sequences",
               scores.size(), batch.size());
  for (std::size_t i = 0; i < rollouts.size(); ++i) {
    rollouts[i].ref_log_probs = std::move(ref_log_probs[i]);
    rollouts[i].values = std::move(values[i]);
    rollouts[i].score = scores[i];
  }
}

std::vector<std::pair<std::string, double>> ExperienceStats::metrics() const {
  return {{"objective/kl", kl},
          {"objective/entropy", entropy},
          {"objective/non_score_reward", non_score_reward},
          {"objective/rlhf_reward", rlhf_reward},
          {"objective/scores", score},
          {"objective/raw_scores", raw_score},
          {"objective/kl_coefficient", kl_coefficient},
          {"rollout/eos_rate", eos_rate},
          {"rollout/response_tokens", response_tokens},
          {"val/explained_variance", explained_variance}};
}

void PpoState::finish_iteration(const ExperienceStats& stats) {
  kl_controller.update(stats.kl, stats.samples);
  ++iteration;
}

std::string PpoState::state() const {
  return numbers_to_text("iteration", {static_cast<double>(iteration)}) + "\n" +
         kl_controller.state() + "\n" + reward_normalizer.state() + "\n";
}

void PpoState::load_state(std::string_view text) {
  std::array<std::string_view, 3> lines;
  for (std::string_view& line : lines) {
    const std::size_t end = text.find('\n');
    line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  iteration = static_cast<std::int64_t>(numbers_from_text("iteration", lines[0], 1)[0]);
  kl_controller.load_state(lines[1]);
  reward_normalizer.load_state(lines[2]);
}

Experience assemble_experience(std::span<const Rollout> rollouts, const ExperienceOptions& options,
                               const PpoState& state, const GlobalSum& global_sum) {
  Experience experience;
  experience.stats.kl_coefficient = state.kl_controller.coefficient();
  const std::vector<float> scores = final_scores(rollouts, options, state);
  TokenValues values;
  std::vector<std::size_t> token_counts;
  for (std::size_t i = 0; i < rollouts.size(); ++i) {
    const Rollout& rollout = rollouts[i];
    check_filled(rollout);
    const std::size_t tokens = rollout.response.size();
    const std::size_t steps = step_count(tokens, options.max_response_length, options.final_step);
    experience.kl.push_back(
        token_kl(rollout.log_probs, rollout.ref_log_probs, options.kl_estimator));
    experience.rewards.push_back(
        step_rewards(experience.kl[i], experience.stats.kl_coefficient, scores[i], steps));
    values.push_back(rollout.values);
    token_counts.push_back(tokens);
  }
  fill_stats(experience.stats, rollouts, experience.kl, scores, global_sum);
  if (options.whiten_rewards) {
    whiten(experience.rewards, masked_moments(experience.rewards, {}, global_sum),
           MeanShift::kKeep);
  }
  for (std::size_t i = 0; i < rollouts.size(); ++i) {
    Advantages result =
        generalized_advantages(experience.rewards[i], values[i], options.gamma, options.lambda);
    // The state after the last token has a return, but no action that an advantage could reward.
    result.advantages.resize(token_counts[i]);
    experience.advantages.push_back(std::move(result.advantages));
    experience.returns.push_back(std::move(result.returns));
  }
  experience.stats.explained_variance = explained_variance(values, experience.returns, global_sum);
  if (options.whiten_advantages) {
    whiten(experience.advantages, masked_moments(experience.advantages, {}, global_sum),
           MeanShift::kRemove);
  }
  return experience;
}

PolicyBatch policy_batch(std::span<const Rollout> rollouts, const Experience& experience,
                         std::span<const std::int64_t> samples) {
  PolicyBatch batch;
  for (const std::int64_t sample : samples) {
    const auto i = static_cast<std::size_t>(sample);
    batch.old_log_probs.insert(batch.old_log_probs.end(), rollouts[i].log_probs.begin(),
                               rollouts[i].log_probs.end());
    batch.advantages.insert(batch.advantages.end(), experience.advantages[i].begin(),
                            experience.advantages[i].end());
  }
  return batch;
}

CriticTrainRequest critic_request(std::span<const Rollout> rollouts, const Experience& experience,
                                  std::span<const std::int64_t> samples) {
  CriticTrainRequest request;
  request.batch = sequence_batch(rollouts, samples);
  for (const std::int64_t sample : samples) {
    const auto i = static_cast<std::size_t>(sample);
    request.returns.push_back(experience.returns[i]);
    request.old_values.push_back(rollouts[i].values);
  }
  return request;
}

double token_count(std::span<const Rollout> rollouts, std::span<const std::int64_t> samples) {
  double count = 0;
  for (const std::int64_t sample : samples) {
    count += static_cast<double>(rollouts[static_cast<std::size_t>(sample)].response.size());
  }
  return count;
}

bool trains_policy(std::int64_t iteration, std::int64_t warmup_iterations) {
  return iteration >= warmup_iterations;
}

bool exceeds_target_kl(double approx_kl, std::optional<double> target_kl) {
  return target_kl && approx_kl > *target_kl;
}

}  // namespace tandem::rl
