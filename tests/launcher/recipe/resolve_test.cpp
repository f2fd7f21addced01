// What a recipe leaves open is filled in from the rest; what it says is never changed.
#include "launcher/recipe/resolve.h"

#include <gtest/gtest.h>

#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::read;
using test::with_data;

template <typename Config>
const Config& stage(const Recipe& recipe, const std::string& name) {
  return std::get<Config>(recipe.find_stage(name)->config);
}

const std::string kAllStages = with_data(
    "stages:\n"
    "  - tokenizer: {data: DATA}\n"
    "  - pretrain: {data: DATA}\n"
    "  - sft: {data: DATA}\n"
    "  - reward: {data: DATA}\n"
    "  - ppo: {prompts: DATA}\n"
    "  - dpo: {data: DATA, from: sft}\n"
    "  - rejection_sampling: {prompts: DATA, from: sft}\n"
    "  - evaluate: {prompts: DATA, from: ppo}\n"
    "  - evaluate: {name: last, prompts: DATA}\n");

TEST(Resolve, stages_hand_over_to_the_next_one_that_needs_a_model) {
  const Recipe recipe = read(kAllStages);
  EXPECT_EQ(stage<PretrainStage>(recipe, "pretrain").from, "");
  EXPECT_EQ(stage<SftStage>(recipe, "sft").from, "pretrain");
  EXPECT_EQ(stage<RewardStage>(recipe, "reward").from, "sft");
  const auto& ppo = stage<PpoStage>(recipe, "ppo");
  EXPECT_EQ(ppo.from, "sft");
  EXPECT_EQ(ppo.reference_from, "sft");
  EXPECT_EQ(ppo.reward_from, "reward");
  EXPECT_EQ(ppo.critic_from, "reward");
  EXPECT_EQ(stage<DpoStage>(recipe, "dpo").reference_from, "sft");
  EXPECT_EQ(stage<RejectionSamplingStage>(recipe, "rejection_sampling").reward_from, "reward");
  EXPECT_EQ(stage<EvaluateStage>(recipe, "evaluate").baseline_from, "sft");
  EXPECT_EQ(stage<EvaluateStage>(recipe, "evaluate").reward_from, "reward");
  EXPECT_EQ(stage<EvaluateStage>(recipe, "last").from, "rejection_sampling");
  EXPECT_EQ(stage<EvaluateStage>(recipe, "last").baseline_from, "sft");
}

TEST(Resolve, what_is_given_stays) {
  const Recipe recipe =
      read(kAllStages, {.overrides = {"ppo.reference_from=pretrain", "ppo.critic_from=sft",
                                      "sft.from=", "last.reward_from=", "last.from=dpo"}});
  EXPECT_EQ(stage<PpoStage>(recipe, "ppo").reference_from, "pretrain");
  EXPECT_EQ(stage<PpoStage>(recipe, "ppo").critic_from, "sft");
  EXPECT_EQ(stage<SftStage>(recipe, "sft").from, "");
  EXPECT_EQ(stage<EvaluateStage>(recipe, "last").reward_from, "");
  EXPECT_EQ(stage<EvaluateStage>(recipe, "last").from, "dpo");
}

TEST(Resolve, data_parallel_takes_the_ranks_that_are_left) {
  const auto layout = [](const std::vector<std::string>& overrides,
                         std::optional<std::int64_t> ranks) {
    return stage<PretrainStage>(read(kAllStages, {.overrides = overrides, .world_size = ranks}),
                                "pretrain")
        .layout.str();
  };
  EXPECT_EQ(layout({}, 8), "dp8");
  EXPECT_EQ(layout({"pretrain.layout.tensor_parallel=2"}, 8), "dp4 x tp2");
  EXPECT_EQ(layout({"pretrain.layout.tensor_parallel=2"}, 7), "dp3 x tp2");
  EXPECT_EQ(layout({"pretrain.layout.tensor_parallel=2"}, 1), "tp2");
  EXPECT_EQ(layout({"pretrain.layout.tensor_parallel=2"}, std::nullopt), "tp2");
  EXPECT_EQ(layout({"pretrain.layout.data_parallel=2"}, 8), "dp2");
}

TEST(Resolve, a_micro_batch_is_the_whole_share_unless_given) {
  const auto micro = [](const std::vector<std::string>& overrides) {
    return stage<PretrainStage>(read(kAllStages, {.overrides = overrides, .world_size = 4}),
                                "pretrain")
        .train.micro_batch_size;
  };
  EXPECT_EQ(micro({}), 8);
  EXPECT_EQ(micro({"pretrain.micro_batch_size=2"}), 2);
  EXPECT_EQ(micro({"pretrain.global_batch_size=30"}), 0);  // for the checks to refuse
  const Recipe recipe =
      read(kAllStages, {.overrides = {"ppo.num_mini_batches=2"}, .world_size = 4});
  EXPECT_EQ(stage<PpoStage>(recipe, "ppo").ppo.micro_batch_size, 8);
}

TEST(Resolve, precision_comes_from_the_recipe_then_the_stage) {
  const Recipe recipe =
      read(kAllStages,
           {.overrides = {"precision=fp32", "ppo.precision=bf16", "sft.precision=bf16",
                          "ppo.placement.reward.precision=fp32", "evaluate.precision=bf16"}});
  EXPECT_EQ(stage<PretrainStage>(recipe, "pretrain").train.precision, runtime::Precision::kFp32);
  EXPECT_EQ(stage<SftStage>(recipe, "sft").train.precision, runtime::Precision::kBf16);
  EXPECT_EQ(stage<EvaluateStage>(recipe, "evaluate").precision, runtime::Precision::kBf16);
  EXPECT_EQ(stage<EvaluateStage>(recipe, "last").precision, runtime::Precision::kFp32);
  EXPECT_EQ(stage<PpoStage>(recipe, "ppo").placement.critic.precision, runtime::Precision::kBf16);
  EXPECT_EQ(stage<PpoStage>(recipe, "ppo").placement.reward.precision, runtime::Precision::kFp32);
}

TEST(Resolve, a_stage_needs_the_ranks_of_its_layout) {
  const Recipe recipe =
      read(kAllStages,
           {.overrides = {"sft.layout={data_parallel: 2, tensor_parallel: 2}"}, .world_size = 8});
  EXPECT_EQ(recipe.find_stage("tokenizer")->ranks(), 1);
  EXPECT_EQ(recipe.find_stage("pretrain")->ranks(), 8);
  EXPECT_EQ(recipe.find_stage("sft")->ranks(), 4);
}

}  // namespace
}  // namespace tandem::launcher
