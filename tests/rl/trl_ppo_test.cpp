// One PPO update as TRL 1.12.0's trainer performed it, number by number: from its rollouts to
// rewards, advantages, returns, losses, gradients and logged metrics, with and without reward
// whitening.
#include <numeric>

#include "rl/objectives.h"
#include "rl/ppo.h"
#include "tests/rl/golden.h"

namespace tandem::rl {
namespace {

using testing::expect_close;
using testing::Golden;

constexpr std::size_t kColumns = 12;  // response_length
constexpr std::size_t kQueryColumns = 8;
constexpr std::size_t kRows = 16;
constexpr std::int32_t kEos = 2;
// The options of ppo.json.
constexpr double kKlCoefficient = 0.2;
constexpr double kGamma = 0.98;
constexpr double kLambda = 0.95;
constexpr double kClip = 0.2;
constexpr double kValueCoefficient = 0.1;

const Golden& golden() {
  static const Golden file("ppo");
  return file;
}

// TRL's padded rows, cut to what is real.
std::vector<Rollout> rollouts() {
  const auto queries = golden().ints("rollout/queries");
  const auto responses = golden().ints("rollout/responses");
  const auto prompt_lengths = golden().ints("rollout/prompt_lengths");
  const auto log_probs = golden().floats("rollout/logprobs");
  const auto ref_log_probs = golden().floats("rollout/ref_logprobs");
  const auto values = golden().floats("rollout/values");
  const auto scores = golden().floats("rollout/scores_before_penalty");
  std::vector<Rollout> result;
  for (std::size_t b = 0; b < kRows; ++b) {
    const auto row = [&](const auto& flat) {
      return flat.begin() + static_cast<std::ptrdiff_t>(b * kColumns);
    };
    Rollout rollout;
    rollout.id = static_cast<std::int64_t>(b);
    const auto query_end = queries.begin() + static_cast<std::ptrdiff_t>((b + 1) * kQueryColumns);
    rollout.prompt.assign(query_end - prompt_lengths[b], query_end);
    rollout.response.assign(row(responses), row(responses) + kColumns);
    rollout.log_probs.assign(row(log_probs), row(log_probs) + kColumns);
    rollout.ref_log_probs.assign(row(ref_log_probs), row(ref_log_probs) + kColumns);
    rollout.values.assign(row(values), row(values) + kColumns);
    rollout.values.push_back(0);  // the state after the last column, which TRL never reads
    rollout.score = scores[b];
    truncate_at_eos(rollout, kEos);
    result.push_back(std::move(rollout));
  }
  return result;
}

ExperienceOptions options(bool whiten_rewards) {
  return {.max_response_length = kColumns,
          .final_step = FinalStep::kAfterLastToken,
          .kl_estimator = KlEstimator::kK1,
          .score = {.missing_eos_penalty = 1.0},
          .whiten_rewards = whiten_rewards,
          .gamma = kGamma,
          .lambda = kLambda};
}

Experience experience(bool whiten_rewards) {
  PpoState state;
  state.kl_controller = KlController(kKlCoefficient);
  return assemble_experience(rollouts(), options(whiten_rewards), state);
}

std::vector<std::size_t> token_counts() {
  std::vector<std::size_t> counts;
  for (const Rollout& rollout : rollouts()) counts.push_back(rollout.response.size());
  return counts;
}

std::vector<std::size_t> step_counts() {
  std::vector<std::size_t> counts;
  for (const std::size_t tokens : token_counts()) {
    counts.push_back(step_count(tokens, kColumns, FinalStep::kAfterLastToken));
  }
  return counts;
}

void expect_rows(const TokenValues& actual, const std::string& name,
                 const std::vector<std::size_t>& lengths) {
  const TokenValues expected = Golden::rows(golden().floats(name), kColumns, lengths);
  for (std::size_t b = 0; b < kRows; ++b) {
    expect_close(actual[b], expected[b], 1e-5, name + " row " + std::to_string(b));
  }
}

class TrlPpo : public ::testing::TestWithParam<std::string> {
 protected:
  std::string run() const { return GetParam(); }
  bool whitened() const { return run() == "whitened"; }
};
INSTANTIATE_TEST_SUITE_P(runs, TrlPpo, ::testing::Values("plain", "whitened"),
                         [](const auto& info) { return info.param; });

TEST(TrlRollouts, are_cut_where_trl_masks) {
  const auto lengths = golden().ints("rollout/response_lengths");
  const auto all = rollouts();
  int cut = 0;
  for (std::size_t b = 0; b < kRows; ++b) {
    ASSERT_EQ(all[b].response.size(), static_cast<std::size_t>(lengths[b])) << "row " << b;
    cut += all[b].response.size() < kColumns ? 1 : 0;
  }
  // The fixture must exercise both: responses that ended and responses that did not.
  EXPECT_GT(cut, 0);
  EXPECT_LT(cut, static_cast<int>(kRows));
}

TEST_P(TrlPpo, rewards_and_advantages_and_returns) {
  const Experience ours = experience(whitened());
  expect_rows(ours.kl, "rollout/kl", token_counts());
  expect_rows(ours.rewards, run() + "/rewards", step_counts());
  expect_rows(ours.returns, run() + "/returns", step_counts());
  expect_rows(ours.advantages, run() + "/advantages", token_counts());
}

TEST_P(TrlPpo, unwhitened_advantages) {
  ExperienceOptions unwhitened = options(whitened());
  unwhitened.whiten_advantages = false;
  PpoState state;
  state.kl_controller = KlController(kKlCoefficient);
  expect_rows(assemble_experience(rollouts(), unwhitened, state).advantages,
              run() + "/advantages_before_whitening", token_counts());
}

// The rows of a minibatch, their real columns concatenated.
std::vector<float> packed(const std::string& name, const std::vector<std::size_t>& lengths) {
  std::vector<float> flat;
  for (const auto& row : Golden::rows(golden().floats(name), kColumns, lengths)) {
    flat.insert(flat.end(), row.begin(), row.end());
  }
  return flat;
}

struct Step {
  std::string name;  // "plain/step2"
  std::vector<std::int64_t> samples;
  std::vector<std::size_t> tokens, steps;  // per sample

  Step(const std::string& run, int index) : name(run + "/step" + std::to_string(index)) {
    const auto all_tokens = token_counts();
    const auto all_steps = step_counts();
    for (const std::int32_t row : golden().ints(name + "/indices")) {
      samples.push_back(row);
      tokens.push_back(all_tokens[static_cast<std::size_t>(row)]);
      steps.push_back(all_steps[static_cast<std::size_t>(row)]);
    }
  }
  double columns() const { return static_cast<double>(samples.size() * kColumns); }
};

TEST_P(TrlPpo, policy_loss_and_gradient_of_every_step) {
  const auto all = rollouts();
  const Experience ours = experience(whitened());
  for (int index = 0; index < 4; ++index) {
    const Step step(run(), index);
    const PolicyBatch batch = policy_batch(all, ours, step.samples);
    const double tokens = token_count(all, step.samples);
    const PolicyLoss loss =
        policy_loss(packed(step.name + "/new_logprobs", step.tokens), batch.old_log_probs,
                    batch.advantages, tokens, {.clip = kClip});
    EXPECT_NEAR(loss.loss, golden().scalar(step.name + "/pg_loss"), 1e-5) << step.name;
    EXPECT_NEAR(loss.clip_fraction, golden().scalar(step.name + "/pg_clipfrac"), 1e-6) << step.name;
    expect_close(loss.dlog_probs, packed(step.name + "/dlogprobs", step.tokens), 1e-5, step.name);
    // TRL's means run over padding as well, where the difference is 0 and the ratio 1.
    EXPECT_NEAR(loss.approx_kl * tokens / step.columns(), golden().scalar(step.name + "/approxkl"),
                1e-5);
    EXPECT_NEAR((loss.mean_ratio * tokens + step.columns() - tokens) / step.columns(),
                golden().scalar(step.name + "/mean_ratio"), 1e-5);
  }
}

TEST_P(TrlPpo, value_loss_and_gradient_of_every_step) {
  const auto all = rollouts();
  const Experience ours = experience(whitened());
  for (int index = 0; index < 4; ++index) {
    const Step step(run(), index);
    const CriticTrainRequest request = critic_request(all, ours, step.samples);
    request.validate();
    std::vector<float> returns, old_values;
    for (std::size_t i = 0; i < step.samples.size(); ++i) {
      const auto count = static_cast<std::ptrdiff_t>(step.steps[i]);
      returns.insert(returns.end(), request.returns[i].begin(), request.returns[i].end());
      old_values.insert(old_values.end(), request.old_values[i].begin(),
                        request.old_values[i].begin() + count);
    }
    const ValueLoss loss = value_loss(packed(step.name + "/vpred", step.steps), old_values, returns,
                                      static_cast<double>(returns.size()), 0.2);
    EXPECT_NEAR(loss.loss, golden().scalar(step.name + "/vf_loss"), 1e-5) << step.name;
    EXPECT_NEAR(loss.clip_fraction, golden().scalar(step.name + "/vf_clipfrac"), 1e-6) << step.name;
    std::vector<float> gradient = loss.dvalues;
    for (float& g : gradient) g *= static_cast<float>(kValueCoefficient);
    expect_close(gradient, packed(step.name + "/dvpred", step.steps), 1e-5, step.name);
  }
}

TEST_P(TrlPpo, logged_metrics) {
  // ppo.json: equal for both runs, since whitening comes after.
  const ExperienceStats stats = experience(whitened()).stats;
  EXPECT_NEAR(stats.kl, 1.5528745651245117, 1e-5);
  EXPECT_NEAR(stats.entropy, 32.164886474609375, 1e-4);
  EXPECT_NEAR(stats.non_score_reward, -0.31057485938072205, 1e-5);
  EXPECT_NEAR(stats.rlhf_reward, -1.5845599174499512, 1e-5);
  EXPECT_NEAR(stats.score, -1.2739850282669067, 1e-5);
  EXPECT_NEAR(stats.eos_rate, 6.0 / 16, 1e-12);
}

TEST(TrlPpoConvention, the_plain_decision_process_differs_where_responses_ended_early) {
  ExperienceOptions plain = options(false);
  plain.final_step = FinalStep::kLastToken;
  PpoState state;
  state.kl_controller = KlController(kKlCoefficient);
  const Experience ours = assemble_experience(rollouts(), plain, state);
  const auto tokens = token_counts();
  const TokenValues expected = Golden::rows(golden().floats("plain/returns"), kColumns, tokens);
  for (std::size_t b = 0; b < kRows; ++b) {
    ASSERT_EQ(ours.returns[b].size(), tokens[b]);
    const double gap = std::abs(ours.returns[b].back() - expected[b].back());
    if (tokens[b] == kColumns) {
      EXPECT_LT(gap, 1e-5) << "row " << b;
    } else {
      EXPECT_GT(gap, 1e-4) << "row " << b;
    }
  }
}

}  // namespace
}  // namespace tandem::rl
