#include "rl/ppo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "runtime/base/error.h"
#include "tests/rl/thread_sum.h"

namespace tandem::rl {
namespace {

using ::testing::HasSubstr;

Rollout rollout(std::int64_t id, std::vector<std::int32_t> response, bool ended) {
  Rollout r{.id = id, .prompt = {1, 2}, .response = std::move(response), .ended_with_eos = ended};
  for (std::size_t t = 0; t < r.response.size(); ++t)
    r.log_probs.push_back(-1.0f - 0.25f * static_cast<float>(t));
  return r;
}

// Roles that answer from the tokens themselves, so that a mixed-up order shows.
class TokenReference : public ReferenceRole {
 public:
  Pending<TokenValues> log_probs(const SequenceBatch& batch, double temperature) override {
    TokenValues result;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      result.emplace_back();
      for (std::size_t t = 0; t < batch.response_length(i); ++t) {
        const auto position = static_cast<std::size_t>(batch.prompt_lengths[i]) + t;
        result[i].push_back(static_cast<float>(-0.1 * batch.tokens[i][position] / temperature));
      }
    }
    return Pending<TokenValues>::ready(std::move(result));
  }
};

class TokenReward : public RewardRole {
 public:
  Pending<std::vector<float>> score(const SequenceBatch& batch) override {
    std::vector<float> scores;
    for (const auto& tokens : batch.tokens) scores.push_back(static_cast<float>(tokens.back()));
    return Pending<std::vector<float>>::ready(std::move(scores));
  }
};

class TokenCritic : public CriticRole {
 public:
  Pending<TokenValues> values(const SequenceBatch& batch) override {
    TokenValues result;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      result.emplace_back();
      for (std::size_t t = 0; t < batch.response_length(i) + 1; ++t) {
        const auto position = static_cast<std::size_t>(batch.prompt_lengths[i]) - 1 + t;
        result[i].push_back(0.5f * static_cast<float>(batch.tokens[i][position]));
      }
    }
    return Pending<TokenValues>::ready(std::move(result));
  }
  Pending<CriticStats> train(const CriticTrainRequest&) override {
    return Pending<CriticStats>::ready({});
  }
  Pending<std::int64_t> save(const std::string&) override {
    return Pending<std::int64_t>::ready(0);
  }
  Pending<std::int64_t> load(const std::string&) override {
    return Pending<std::int64_t>::ready(0);
  }
};

TEST(EvaluateRollouts, gives_each_sample_its_own_numbers) {
  std::vector<Rollout> rollouts = {rollout(0, {10, 20, 30}, true), rollout(1, {40}, false)};
  TokenReference reference;
  TokenReward reward;
  TokenCritic critic;
  evaluate_rollouts(rollouts, {&reference, &reward, &critic}, 0.5);
  EXPECT_EQ(rollouts[0].ref_log_probs, (std::vector<float>{-2, -4, -6}));
  EXPECT_EQ(rollouts[1].ref_log_probs, (std::vector<float>{-8}));
  EXPECT_EQ(rollouts[0].score, 30);
  EXPECT_EQ(rollouts[1].score, 40);
  EXPECT_EQ(rollouts[0].values, (std::vector<float>{1, 5, 10, 15}));
  EXPECT_EQ(rollouts[1].values, (std::vector<float>{1, 20}));
}

TEST(Experience, sharded_over_ranks_equals_one_rank_that_holds_all) {
  std::vector<Rollout> rollouts = {rollout(0, {10, 20, 30}, true), rollout(1, {40, 50}, false),
                                   rollout(2, {5, 7, 9, 11}, true)};
  TokenReference reference;
  TokenReward reward;
  TokenCritic critic;
  evaluate_rollouts(rollouts, {&reference, &reward, &critic}, 1.0);
  const ExperienceOptions options{.max_response_length = 5, .whiten_rewards = true};
  const Experience whole = assemble_experience(rollouts, options, {});
  const std::span<const Rollout> all(rollouts);
  const std::array<std::span<const Rollout>, 2> shards = {all.first(1), all.subspan(1)};
  std::array<Experience, 2> parts;
  testing::ThreadSum sum;
  std::vector<std::thread> ranks;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      parts[rank] = assemble_experience(shards[rank], options, {}, sum.rank(rank));
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_EQ(whole.rewards[0].size(), 4u);
  EXPECT_EQ(whole.advantages[0].size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const Experience& part = parts[i == 0 ? 0 : 1];
    const std::size_t at = i == 0 ? 0 : i - 1;
    for (std::size_t t = 0; t < whole.advantages[i].size(); ++t) {
      EXPECT_NEAR(part.advantages[at][t], whole.advantages[i][t], 1e-6);
      EXPECT_NEAR(part.returns[at][t], whole.returns[i][t], 1e-4);
    }
  }
  for (std::size_t m = 0; m < whole.stats.metrics().size(); ++m) {
    const auto [name, value] = whole.stats.metrics()[m];
    EXPECT_NEAR(parts[0].stats.metrics()[m].second, value, 1e-9) << name;
    EXPECT_EQ(parts[0].stats.metrics()[m], parts[1].stats.metrics()[m]) << name;
  }
}

TEST(Experience, normalises_before_clipping_and_penalty) {
  std::vector<Rollout> rollouts = {rollout(0, {10}, true), rollout(1, {40}, false)};
  TokenReference reference;
  TokenReward reward;
  TokenCritic critic;
  evaluate_rollouts(rollouts, {&reference, &reward, &critic}, 1.0);
  PpoState state;
  state.reward_normalizer.update(std::vector<float>{10, 40});  // mean 25, deviation 21.2
  const ExperienceOptions options{.max_response_length = 1,
                                  .score = {.score_clip = 0.5, .missing_eos_penalty = 1.0},
                                  .normalize_scores = true};
  const Experience experience = assemble_experience(rollouts, options, state);
  EXPECT_NEAR(experience.stats.score, (-0.5 + 0.5 - 1.0) / 2, 1e-6);
  EXPECT_NEAR(experience.stats.raw_score, 25, 1e-6);
}

TEST(PpoState, round_trips_through_text) {
  PpoState state;
  state.kl_controller = KlController(0.05, 2.0, 1000);
  state.reward_normalizer.update(std::vector<float>{1.5f, 2.25f, -3.125f});
  state.finish_iteration({.samples = 64, .kl = 2.3});
  PpoState restored;
  restored.kl_controller = KlController(0.05, 2.0, 1000);
  restored.load_state(state.state());
  EXPECT_EQ(restored.iteration, 1);
  EXPECT_EQ(restored.state(), state.state());
  EXPECT_NE(restored.kl_controller.coefficient(), 0.05);
  EXPECT_THROW(restored.load_state("iteration 3\n"), runtime::Error);
}

TEST(Rules, warm_up_and_target_kl) {
  EXPECT_FALSE(trains_policy(1, 2));
  EXPECT_TRUE(trains_policy(2, 2));
  EXPECT_TRUE(trains_policy(0, 0));
  EXPECT_TRUE(exceeds_target_kl(0.03, 0.02));
  EXPECT_FALSE(exceeds_target_kl(0.01, 0.02));
  EXPECT_FALSE(exceeds_target_kl(100.0, std::nullopt));
}

TEST(PendingResult, late_results_are_an_error_that_says_who_is_late) {
  std::promise<int> never;
  Pending<int> pending(never.get_future(), {.what = "reward role (rank 6) did not answer Score",
                                            .deadline = std::chrono::milliseconds(150)});
  EXPECT_FALSE(pending.is_ready());
  try {
    pending.get();
    FAIL() << "returned";
  } catch (const runtime::Error& error) {
    EXPECT_STREQ(error.what(), "reward role (rank 6) did not answer Score within 0.15 s");
    EXPECT_EQ(error.kind(), runtime::ErrorKind::kEnvironment);
  }
}

TEST(PendingResult, waiting_notices_what_the_callback_notices) {
  std::promise<int> never;
  int calls = 0;
  Pending<int> pending(never.get_future(),
                       {.what = "x", .deadline = std::chrono::seconds(60), .while_waiting = [&] {
                          if (++calls == 2) runtime::throw_error("peer died");
                        }});
  EXPECT_THROW(pending.get(), runtime::Error);
  EXPECT_EQ(calls, 2);
}

TEST(PendingResult, hands_on_values_and_errors) {
  EXPECT_EQ(Pending<int>::ready(5).get(), 5);
  std::promise<int> promise;
  Pending<int> pending(promise.get_future(), {.what = "x"});
  std::thread other(
      [&] { promise.set_exception(std::make_exception_ptr(runtime::Error("its own words"))); });
  EXPECT_THROW(pending.get(), runtime::Error);
  other.join();
}

}  // namespace
}  // namespace tandem::rl
