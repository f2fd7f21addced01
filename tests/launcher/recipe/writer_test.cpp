// The resolved recipe as text, and what of it a stage's result depends on.
#include "launcher/recipe/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/llama/config.h"
#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::read;
using test::with_data;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Every kind of stage, and values that YAML could misread.
const std::string kRecipe = with_data(
    "name: 'true'\n"
    "run_dir: '/tmp/tandem recipe: test'\n"
    "seed: 7\n"
    "precision: fp32\n"
    "chat_template: \"Frage: \\\"{prompt}\\\"\\n\\tAntwort — {completion}\\\\{eos} #\"\n"
    "model: {hidden_size: 64, rope_theta: 1234567.125, rms_norm_eps: 1e-9}\n"
    "stages:\n"
    "  - tokenizer: {data: DATA, bos_token: '-', special_tokens: ['null', '...', '007', '<|x|>']}\n"
    "  - pretrain: {data: DATA, validation: DATA, steps: 3, optimizer: {learning_rate: 0.1}}\n"
    "  - sft: {data: {path: DATA, validation_fraction: 0.25}, epochs: 0.1}\n"
    "  - reward: {data: DATA, name: judge, use_margin: true}\n"
    "  - ppo: {prompts: DATA, placement: {critic: {tensor_parallel: 2}}}\n"
    "  - dpo: {data: DATA, from: sft, layout: {tensor_parallel: 2}}\n"
    "  - rejection_sampling: {prompts: DATA, from: sft}\n"
    "  - evaluate: {prompts: DATA}\n");

TEST(Writer, a_resolved_recipe_reads_again_as_the_same) {
  for (const std::optional<std::int64_t> ranks :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(8)}) {
    const std::string text = to_yaml(read(kRecipe, {.world_size = ranks}));
    EXPECT_EQ(to_yaml(read(text, {.world_size = ranks})), text);
    // Everything is explicit: the number of ranks changes nothing any more.
    EXPECT_EQ(to_yaml(read(text, {.world_size = 64})), text);
  }
}

TEST(Writer, text_survives) {
  const Recipe recipe = read(to_yaml(read(kRecipe)));
  EXPECT_EQ(recipe.name, "true");
  EXPECT_EQ(recipe.run_dir, "/tmp/tandem recipe: test");
  EXPECT_EQ(recipe.chat_template, "Frage: \"{prompt}\"\n\tAntwort — {completion}\\{eos} #");
  EXPECT_EQ(dynamic_cast<const models::LlamaConfig&>(*recipe.model.sizes).rope_theta, 1234567.125);
  const auto& tokenizer = std::get<TokenizerStage>(recipe.stages[0].config).tokenizer;
  EXPECT_EQ(tokenizer.bos_token, "-");
  EXPECT_THAT(tokenizer.special_tokens, ElementsAre("null", "...", "007", "<|x|>"));
}

TEST(Writer, says_what_differs_from_the_defaults_and_leaves_out_what_is_not_there) {
  const std::string text = to_yaml(read(kRecipe));
  EXPECT_THAT(text, HasSubstr("\nseed: 7  # default: 1234\n"));
  EXPECT_THAT(text, HasSubstr("\n        learning_rate: 0.1  # default: 0.0003\n"));
  EXPECT_THAT(text, HasSubstr("\n      log_every: 1\n"));
  // Only pretrain has validation data.
  EXPECT_EQ(text.find("validation:"), text.rfind("validation:"));
}

TEST(Writer, a_model_from_a_directory_brings_its_sizes) {
  const std::string text = to_yaml(read(kRecipe, {.overrides = {"model={from: some/model}"}}));
  EXPECT_THAT(text, HasSubstr("model:\n  from: some/model"));
  EXPECT_THAT(text, Not(HasSubstr("hidden_size")));
  EXPECT_EQ(to_yaml(read(text)), text);
}

std::string settings(const std::vector<std::string>& overrides, const std::string& stage) {
  const Recipe recipe = read(kRecipe, {.overrides = overrides, .world_size = 8});
  return result_settings(recipe, *recipe.find_stage(stage));
}

std::vector<std::string> changes(const std::vector<std::string>& overrides,
                                 const std::string& stage) {
  return changed_settings(settings({}, stage), settings(overrides, stage));
}

TEST(ResultSettings, tell_what_changes_a_result) {
  EXPECT_THAT(changes({"pretrain.steps=4"}, "pretrain"), ElementsAre("steps: 3 → 4"));
  EXPECT_THAT(changes({"pretrain.optimizer.learning_rate=0.2", "seed=8"}, "pretrain"),
              ElementsAre("optimizer.learning_rate: 0.1 → 0.2", "recipe.seed: 7 → 8"));
  EXPECT_THAT(changes({"model.hidden_size=128"}, "pretrain"),
              ElementsAre("recipe.model.hidden_size: 64 → 128"));
  EXPECT_THAT(changes({"ppo.placement.reward.precision=bf16"}, "ppo"),
              ElementsAre("placement.reward.precision: fp32 → bf16"));
  EXPECT_THAT(changes({"chat_template={prompt}{completion}"}, "sft").size(), 1u);
}

TEST(ResultSettings, are_indifferent_to_how_a_result_is_computed_and_reported) {
  EXPECT_THAT(changes({"pretrain.layout.tensor_parallel=2", "pretrain.micro_batch_size=1",
                       "pretrain.recompute=full", "pretrain.log_every=9", "pretrain.save_every=9",
                       "pretrain.samples.count=1", "run_dir=/elsewhere"},
                      "pretrain"),
              ElementsAre());
  EXPECT_THAT(changes({"ppo.placement.shared=true", "ppo.services.port=1234"}, "ppo"),
              ElementsAre());
  // Only the stage that starts from it depends on the model's sizes.
  EXPECT_THAT(changes({"model.hidden_size=128", "pretrain.steps=4"}, "sft"), ElementsAre());
  EXPECT_THAT(changes({"chat_template={prompt}{completion}"}, "tokenizer"), ElementsAre());
}

TEST(ResultSettings, of_another_version_differ_by_the_keys_that_only_one_has) {
  EXPECT_THAT(changed_settings("a: 1\nb: 2\n", "b: 2\nc: x: y\n"),
              ElementsAre("c: (unset) → x: y", "a: 1 → (unset)"));
}

}  // namespace
}  // namespace tandem::launcher
