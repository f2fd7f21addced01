// The whole PPO update on models: rollouts of TRL 1.12.0's trainer, everything else computed here
// (log-probabilities, scores, values, advantages, both losses, gradients, optimizer), compared with
// what TRL computed at each place (tests/golden/README.md).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "models/family.h"
#include "rl/model_roles.h"
#include "rl/policy.h"
#include "tests/support/golden.h"
#include "tests/support/logical_parameters.h"
#include "train/checkpoint.h"

namespace tandem::rl {
namespace {

using runtime::DType;
using runtime::SafetensorsFile;
using runtime::Tensor;
using test::golden_path;

constexpr double kTolerance = 1e-5;
constexpr std::size_t kRows = 16, kQueryColumns = 8, kColumns = 12;

const SafetensorsFile& golden() {
  static const SafetensorsFile file(golden_path("ppo.safetensors"));
  return file;
}
const nlohmann::json& options() {
  static const nlohmann::json json = test::golden_json("ppo.json")["options"];
  return json;
}

std::vector<float> floats(const std::string& name) {
  return golden().read(name).to_vector<float>();
}
std::vector<std::int32_t> ints(const std::string& name) {
  return golden().read(name).to_vector<std::int32_t>();
}

std::unique_ptr<models::Model> load(const std::string& role, models::Head head, bool trainable,
                                    DType compute = DType::kF32) {
  const std::filesystem::path folder = golden_path("ppo") / role;
  models::BuildOptions build;
  build.head = head;
  build.trainable = trainable;
  build.precision.compute = compute;
  auto model = models::read_config((folder / "config.json").string())->make(build);
  train::load_model_weights(*model, folder);
  return model;
}

// The four roles and the optimizers on one rank, from the fixture's weights.
struct World {
  parallel::Mesh mesh = parallel::single_rank_mesh();
  RoleGroup group{parallel::Group()};
  runtime::AdamWOptions adamw{.beta1 = options()["adam_beta1"],
                              .beta2 = options()["adam_beta2"],
                              .eps = options()["adam_epsilon"],
                              .weight_decay = options()["weight_decay"]};
  train::Engine policy;
  train::Engine* critic_engine;  // owned by critic
  ModelCritic critic;
  ModelReference reference;
  ModelReward reward;

  explicit World(DType compute = DType::kF32)
      : policy(load("policy", models::Head::kLanguageModel, true, compute), mesh, adamw),
        critic_engine(
            new train::Engine(load("value", models::Head::kScalar, true, compute), mesh, adamw)),
        critic(std::unique_ptr<train::Engine>(critic_engine), kRows, nullptr, group),
        reference(load("reference", models::Head::kLanguageModel, false, compute), mesh, group),
        reward(load("reward", models::Head::kScalar, false, compute), mesh, group) {}

  static float temperature() { return options()["temperature"].get<float>() + 1e-7f; }

  // TRL's rows without their padding; nothing but tokens.
  static std::vector<Rollout> rollouts() {
    const auto queries = ints("rollout/queries"), responses = ints("rollout/responses"),
               prompts = ints("rollout/prompt_lengths"), lengths = ints("rollout/response_lengths");
    std::vector<Rollout> result;
    for (std::size_t b = 0; b < kRows; ++b) {
      Rollout rollout;
      rollout.id = static_cast<std::int64_t>(b);
      const auto query_end = queries.begin() + static_cast<std::ptrdiff_t>((b + 1) * kQueryColumns),
                 response = responses.begin() + static_cast<std::ptrdiff_t>(b * kColumns);
      rollout.prompt.assign(query_end - prompts[b], query_end);
      rollout.response.assign(response, response + lengths[b]);
      rollout.ended_with_eos = rollout.response.back() == 2;
      result.push_back(std::move(rollout));
    }
    return result;
  }

  // TRL's minibatches.
  static std::vector<Minibatch> plan(const std::string& run) {
    std::vector<Minibatch> result;
    for (std::int64_t step = 0; step < 4; ++step) {
      Minibatch minibatch{.epoch = step / 2, .index = step % 2, .samples = {}};
      for (const std::int32_t row : ints(run + "/step" + std::to_string(step) + "/indices"))
        minibatch.samples.push_back(row);
      result.push_back(std::move(minibatch));
    }
    return result;
  }

  std::vector<Rollout> evaluated(const std::string& run, std::int64_t micro_batch_size) {
    std::vector<Rollout> result = rollouts();
    refresh_log_probs(policy.model(), mesh, result, plan(run), micro_batch_size, temperature());
    evaluate_rollouts(result, {&reference, &reward, &critic}, temperature());
    return result;
  }
};

Experience experience_of(const std::vector<Rollout>& rollouts, bool whiten_rewards) {
  PpoState state;
  state.kl_controller = KlController(options()["kl_coef"]);
  return assemble_experience(rollouts,
                             {.max_response_length = kColumns,
                              .final_step = FinalStep::kAfterLastToken,
                              .kl_estimator = KlEstimator::kK1,
                              .score = {.missing_eos_penalty = options()["missing_eos_penalty"]},
                              .whiten_rewards = whiten_rewards,
                              .gamma = options()["gamma"],
                              .lambda = options()["lam"]},
                             state);
}

// Rows of [16, 12] golden columns, each as long as ours (of which one entry more may be valid in
// ours than TRL has columns).
void expect_rows(const TokenValues& actual, const std::string& name) {
  const std::vector<float> expected = floats(name);
  for (std::size_t b = 0; b < kRows; ++b)
    for (std::size_t t = 0; t < std::min(actual[b].size(), kColumns); ++t)
      ASSERT_NEAR(actual[b][t], expected[b * kColumns + t],
                  kTolerance * std::max(1.0f, std::abs(expected[b * kColumns + t])))
          << name << " row " << b << " column " << t;
}

template <typename Get>
TokenValues collect(const std::vector<Rollout>& rollouts, const Get& get) {
  TokenValues values;
  for (const Rollout& rollout : rollouts) values.push_back(get(rollout));
  return values;
}

class TrlPpoModels : public testing::TestWithParam<std::string> {
 protected:
  std::string run() const { return GetParam(); }
  bool whitened() const { return run() == "whitened"; }

  // Values or gradients that the fixture has under `prefix`, relative to each tensor's largest.
  static void expect_parameters(models::Model& model, const std::string& prefix, bool gradients,
                                double tolerance, int least) {
    int compared = 0;
    test::for_each_parameter(
        model, [&](const std::string& name, const Tensor& value, const Tensor& grad) {
          const auto& tensors = golden().tensors();
          if (std::ranges::none_of(tensors, [&](const auto& t) { return t.name == prefix + name; }))
            return;
          EXPECT_TRUE(test::close(prefix + name, gradients ? grad : value,
                                  golden().read(prefix + name), tolerance));
          ++compared;
        });
    EXPECT_GE(compared, least) << prefix;
  }
};

TEST_P(TrlPpoModels, roles_see_the_numbers_of_trl) {
  World world;
  const std::vector<Rollout> rollouts = world.evaluated(run(), kRows);
  expect_rows(collect(rollouts, [](const Rollout& r) { return r.log_probs; }), "rollout/logprobs");
  expect_rows(collect(rollouts, [](const Rollout& r) { return r.ref_log_probs; }),
              "rollout/ref_logprobs");
  expect_rows(collect(rollouts, [](const Rollout& r) { return r.values; }), "rollout/values");
  const std::vector<float> scores = floats("rollout/scores_before_penalty");
  for (std::size_t b = 0; b < kRows; ++b)
    EXPECT_NEAR(rollouts[b].score, scores[b], kTolerance) << "row " << b;
}

TEST_P(TrlPpoModels, advantages_and_returns_from_our_own_forward) {
  World world;
  const Experience ours = experience_of(world.evaluated(run(), kRows), whitened());
  expect_rows(ours.kl, "rollout/kl");
  expect_rows(ours.rewards, run() + "/rewards");
  expect_rows(ours.returns, run() + "/returns");
  expect_rows(ours.advantages, run() + "/advantages");
}

TEST_P(TrlPpoModels, four_updates_of_policy_and_critic) {
  World world;
  const std::vector<Rollout> rollouts = world.evaluated(run(), kRows);
  const Experience experience = experience_of(rollouts, whitened());
  const std::vector<Minibatch> plan = World::plan(run());
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::string step = run() + "/step" + std::to_string(i);
    SCOPED_TRACE(step);
    const PolicyUpdate policy =
        update_policy(world.policy, rollouts, experience, plan[i], kRows, World::temperature(),
                      {.clip = options()["cliprange"]}, options()["learning_rate"], 0);
    CriticTrainRequest request = critic_request(rollouts, experience, plan[i].samples);
    request.value_clip = options()["cliprange_value"];
    request.loss_coefficient = options()["vf_coef"];
    request.learning_rate = options()["learning_rate"];
    request.step = static_cast<std::int64_t>(i);
    const CriticStats critic = world.critic.train(request).get();

    EXPECT_NEAR(policy.loss.loss, floats(step + "/pg_loss")[0], kTolerance);
    EXPECT_NEAR(policy.loss.clip_fraction, floats(step + "/pg_clipfrac")[0], 1e-6);
    EXPECT_NEAR(critic.loss, floats(step + "/vf_loss")[0], kTolerance);
    EXPECT_NEAR(critic.clip_fraction, floats(step + "/vf_clipfrac")[0], 1e-6);
    if (i % 2 != 0) continue;
    expect_parameters(world.policy.model(), step + "/grad/policy.", true, kTolerance, 3);
    expect_parameters(world.critic_engine->model(), step + "/grad/value_model.", true, kTolerance,
                      2);
  }
  expect_parameters(world.policy.model(), run() + "/final/policy.", false, kTolerance, 3);
  expect_parameters(world.critic_engine->model(), run() + "/final/value_model.", false, kTolerance,
                    2);
}

INSTANTIATE_TEST_SUITE_P(Runs, TrlPpoModels, testing::Values("plain", "whitened"),
                         [](const auto& info) { return info.param; });

// The first update sees exactly the log-probabilities it is compared with, whatever the size of its
// micro-batches and the precision.
TEST(FirstUpdate, every_importance_ratio_is_exactly_one) {
  for (const DType compute : {DType::kF32, DType::kBF16})
    for (const std::int64_t micro_batch_size : {1, 3, 8}) {
      World world(compute);
      const std::vector<Rollout> rollouts = world.evaluated("plain", micro_batch_size);
      const PolicyUpdate update = update_policy(
          world.policy, rollouts, experience_of(rollouts, false), World::plan("plain")[0],
          micro_batch_size, World::temperature(), {.clip = 0.2}, 1e-3, 0);
      EXPECT_EQ(update.loss.max_log_ratio, 0.0) << "micro-batches of " << micro_batch_size;
      EXPECT_NEAR(update.loss.mean_ratio, 1.0, 1e-12);
      EXPECT_EQ(update.loss.clip_fraction, 0.0);
    }
}

}  // namespace
}  // namespace tandem::rl
