// SFT, reward and DPO on a model: losses, statistics and parameter gradients equal to what TRL
// 1.12.0's trainers computed on the same weights and batches (tests/golden/README.md).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "models/family.h"
#include "tests/support/golden.h"
#include "tests/support/logical_parameters.h"
#include "train/checkpoint.h"
#include "train/objectives.h"

namespace tandem::train {
namespace {

using runtime::DType;
using runtime::SafetensorsFile;
using runtime::Tensor;
using test::close;
using test::golden_path;
using test::set_parameter;

constexpr double kTolerance = 1e-5;

const SafetensorsFile& golden() {
  static const SafetensorsFile file(golden_path("trl_losses.safetensors"));
  return file;
}

std::vector<std::int32_t> ints(const std::string& name) {
  return golden().read(name).to_vector<std::int32_t>();
}
std::vector<float> floats(const std::string& name) {
  return golden().read(name).to_vector<float>();
}
double scalar(const std::string& name) {
  return floats(name)[0];
}

std::unique_ptr<models::Model> load(models::Head head, bool trainable = true) {
  models::BuildOptions options;
  options.head = head;
  options.trainable = trainable;
  auto model =
      models::read_config((golden_path("llama_tiny") / "config.json").string())->make(options);
  load_model_weights(*model, golden_path("llama_tiny"));
  return model;
}

bool has_golden(const std::string& name) {
  return std::ranges::any_of(golden().tensors(), [&](const auto& t) { return t.name == name; });
}

// Compares every gradient that the fixture has under `prefix`; at least `least` of them.
void expect_gradients(models::Model& model, const std::string& prefix, int least) {
  int compared = 0;
  test::for_each_parameter(model, [&](const std::string& name, const Tensor&, const Tensor& grad) {
    if (!has_golden(prefix + name)) return;
    EXPECT_TRUE(close(prefix + name, grad, golden().read(prefix + name), kTolerance));
    ++compared;
  });
  EXPECT_GE(compared, least) << prefix;
}

// Sequences of the fixture in the given order; the targets are the tokens of completion_mask.
data::Batch batch_of(const std::string& subject, const std::vector<std::size_t>& order) {
  const auto tokens = ints(subject + "/tokens"), borders = ints(subject + "/cu_seqlens"),
             mask = ints(subject + "/completion_mask");
  data::BatchBuilder builder;
  for (const std::size_t sequence : order) {
    const auto begin = static_cast<std::size_t>(borders[sequence]),
               end = static_cast<std::size_t>(borders[sequence + 1]);
    std::int64_t prompt = 0;
    while (mask[begin + static_cast<std::size_t>(prompt)] == 0) ++prompt;
    builder.add_completion(std::span(tokens).subspan(begin, end - begin), prompt, 0);
  }
  return builder.take();
}

std::vector<std::size_t> in_order(std::size_t count) {
  std::vector<std::size_t> order(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = i;
  return order;
}

// The fixture holds all chosen sequences, then all rejected ones; our pairs lie side by side.
std::vector<std::size_t> in_pairs(std::size_t pairs) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < 2 * pairs; ++i) order.push_back(i / 2 + i % 2 * pairs);
  return order;
}

TEST(TrlSft, loss_and_gradients_on_completions) {
  auto model = load(models::Head::kLanguageModel);
  const data::Batch batch = batch_of("sft", in_order(4));
  model->parameters().begin_step();
  const double loss = token_loss(*model, batch, target_weight(batch), true);
  EXPECT_NEAR(loss, scalar("sft/loss"), kTolerance * scalar("sft/loss"));
  expect_gradients(*model, "sft/grad/", 4);
}

TEST(TrlSft, micro_batches_of_uneven_length_add_up_to_the_same) {
  auto model = load(models::Head::kLanguageModel);
  const double weight = target_weight(batch_of("sft", in_order(4)));
  model->parameters().begin_step();
  double loss = 0;
  for (const std::vector<std::size_t>& part : {std::vector<std::size_t>{2}, {0, 3, 1}})
    loss += token_loss(*model, batch_of("sft", part), weight, true);
  EXPECT_NEAR(loss, scalar("sft/loss"), kTolerance * scalar("sft/loss"));
  expect_gradients(*model, "sft/grad/", 4);
}

TEST(TrlSft, the_loss_through_log_probabilities_has_the_same_gradients) {
  auto model = load(models::Head::kLanguageModel);
  const data::Batch batch = batch_of("sft", in_order(4));
  model->parameters().begin_step();
  double loss = 0;
  with_log_probs(*model, batch, 1.0f, [&](const TokenLogProbs& tokens) {
    const std::vector<float> weights(tokens.rows.size(), 1.0f);
    const TokenLoss result = sft_loss(tokens.log_probs, weights, target_weight(batch));
    loss = result.loss;
    return result.dlog_probs;
  });
  EXPECT_NEAR(loss, scalar("sft/loss"), kTolerance * scalar("sft/loss"));
  expect_gradients(*model, "sft/grad/", 4);
}

struct RewardCase {
  std::string name;
  bool center, margin;
};

std::unique_ptr<models::Model> reward_model() {
  auto model = load(models::Head::kScalar);
  set_parameter(*model, "score.weight", golden().read("reward/score.weight"));
  return model;
}

data::Batch reward_pairs(bool margins) {
  const auto tokens = ints("reward/tokens"), borders = ints("reward/cu_seqlens");
  const auto margin = floats("reward/margin");
  data::BatchBuilder builder;
  for (const std::size_t sequence : in_pairs(4)) {
    const auto begin = static_cast<std::size_t>(borders[sequence]),
               end = static_cast<std::size_t>(borders[sequence + 1]);
    builder.add_prompt(std::span(tokens).subspan(begin, end - begin), 0);
    if (margins && sequence < 4) builder.add_margin(margin[sequence]);
  }
  return builder.take();
}

class TrlReward : public testing::TestWithParam<RewardCase> {};

TEST_P(TrlReward, loss_and_gradients) {
  const RewardCase& param = GetParam();
  auto model = reward_model();
  model->parameters().begin_step();
  const PairLossOptions options{.center_rewards_coefficient = param.center ? 0.01 : 0.0};
  const RewardLoss result =
      reward_loss(*model, reward_pairs(param.margin), 4, options, param.margin, true);
  const std::string prefix = "reward/" + param.name;
  EXPECT_NEAR(result.loss, scalar(prefix + "/loss"), kTolerance * scalar(prefix + "/loss"));
  expect_gradients(*model, prefix + "/grad/", 4);
}

INSTANTIATE_TEST_SUITE_P(Cases, TrlReward,
                         testing::Values(RewardCase{"plain", false, false},
                                         RewardCase{"center", true, false},
                                         RewardCase{"margin", false, true},
                                         RewardCase{"center_margin", true, true}),
                         [](const auto& info) { return info.param.name; });

TEST(TrlScores, scores_are_read_at_the_last_token) {
  auto model = reward_model();
  const data::Batch batch = reward_pairs(false);
  const std::vector<float> scores = with_scores(*model, batch, last_token_rows(batch));
  const std::vector<float> expected = floats("reward/rewards");
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(scores[2 * i], expected[i], kTolerance);
    EXPECT_NEAR(scores[2 * i + 1], expected[i + 4], kTolerance);
  }
}

// [chosen 0, rejected 0, chosen 1, …] from the fixture's two lists.
std::vector<float> interleaved(const std::string& chosen, const std::string& rejected) {
  const auto first = floats(chosen), second = floats(rejected);
  std::vector<float> result;
  for (std::size_t i = 0; i < first.size(); ++i) result.insert(result.end(), {first[i], second[i]});
  return result;
}

TEST(TrlDpo, log_probabilities_of_policy_and_reference) {
  auto policy = load(models::Head::kLanguageModel),
       reference = load(models::Head::kLanguageModel, false);
  for (const char* name : {"model.layers.0.self_attn.v_proj.weight",
                           "model.layers.1.mlp.down_proj.weight", "model.norm.weight"})
    set_parameter(*reference, name, golden().read(std::string("dpo/reference/") + name));
  const data::Batch batch = batch_of("dpo", in_pairs(4));
  const auto expect = [&](models::Model& model, const std::string& chosen,
                          const std::string& rejected) {
    const auto actual = sequence_log_probs(model, batch), expected = interleaved(chosen, rejected);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(actual[i], expected[i], kTolerance * std::abs(expected[i])) << chosen << " " << i;
  };
  expect(*policy, "dpo/chosen_logps", "dpo/rejected_logps");
  expect(*reference, "dpo/ref_chosen_logps", "dpo/ref_rejected_logps");
}

class TrlDpoLoss : public testing::TestWithParam<std::string> {};

TEST_P(TrlDpoLoss, loss_and_gradients) {
  const auto json = test::golden_json("trl_losses.json")["dpo_" + GetParam()];
  auto model = load(models::Head::kLanguageModel);
  model->parameters().begin_step();
  const DpoLoss result =
      dpo_step(*model, batch_of("dpo", in_pairs(4)),
               interleaved("dpo/ref_chosen_logps", "dpo/ref_rejected_logps"), 4,
               {.beta = json["beta"], .label_smoothing = json["label_smoothing"]}, true);
  const std::string prefix = "dpo/" + GetParam();
  EXPECT_NEAR(result.loss, scalar(prefix + "/loss"), kTolerance * scalar(prefix + "/loss"));
  expect_gradients(*model, prefix + "/grad/", 4);
}

INSTANTIATE_TEST_SUITE_P(Cases, TrlDpoLoss, testing::Values("sigmoid", "conservative"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tandem::train
