// key.path=value on the command line: checked like the file, and named in complaints.
#include <gtest/gtest.h>

#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::pretrain_text;
using test::rlhf_text;

Recipe with(const std::vector<std::string>& overrides) {
  return test::read(rlhf_text(), {.overrides = overrides});
}

const PretrainStage& pretrain(const Recipe& recipe) {
  return std::get<PretrainStage>(recipe.find_stage("pretrain")->config);
}

TEST(Overrides, replace_and_add_values_at_every_depth) {
  const Recipe recipe =
      with({"seed=7", "model.hidden_size=64", "pretrain.steps=10", "stages.pretrain.eval_every=5",
            "pretrain.optimizer.learning_rate=2e-3", "tokenizer.special_tokens=[<a>, <b>]",
            "pretrain.layout={tensor_parallel: 2}", "name=two words"});
  EXPECT_EQ(recipe.seed, 7);
  EXPECT_EQ(recipe.model.sizes->hidden_size, 64);
  EXPECT_EQ(pretrain(recipe).train.steps, 10);
  EXPECT_EQ(pretrain(recipe).train.eval_every, 5);
  EXPECT_EQ(pretrain(recipe).train.optimizer.learning_rate, 2e-3);
  EXPECT_EQ(pretrain(recipe).layout.tensor_parallel, 2);
  EXPECT_EQ(std::get<TokenizerStage>(recipe.stages[0].config).tokenizer.special_tokens,
            (std::vector<std::string>{"<a>", "<b>"}));
  EXPECT_EQ(recipe.name, "two words");
}

TEST(Overrides, the_last_one_counts) {
  EXPECT_EQ(with({"seed=7", "seed=8"}).seed, 8);
}

TEST(Overrides, a_data_section_given_by_its_path_is_spelled_out) {
  const Recipe recipe = with({"ppo.prompts.max_records=9"});
  const auto& ppo = std::get<PpoStage>(recipe.find_stage("ppo")->config);
  EXPECT_EQ(ppo.prompts.path, test::with_data("DATA"));
  EXPECT_EQ(ppo.prompts.max_records, 9);
}

TEST(Overrides, text_needs_no_quotes) {
  for (const std::string text :
       {"{prompt}", "{prompt}{completion}", "Human: {prompt}{completion}", "[a, b]", "a # b", "*x"})
    EXPECT_EQ(with({"chat_template=" + text}).chat_template, text);
  EXPECT_EQ(with({"chat_template="}).chat_template, "");
  EXPECT_EQ(with({"chat_template=\"a\\nb\""}).chat_template, "a\nb");
}

TEST(Overrides, reach_a_stage_by_the_name_it_has_now) {
  const Recipe recipe = with({"pretrain.name=base", "base.steps=4"});
  EXPECT_EQ(std::get<PretrainStage>(recipe.find_stage("base")->config).train.steps, 4);
}

TEST(Overrides, that_are_wrong_are_named) {
  const auto said = [](const std::string& override) {
    return test::problems(rlhf_text(), {.overrides = {override}});
  };
  const auto malformed = [](const std::string& text) {
    return "command line: '" + text +
           "' is not of the form key.path=value, such as pretrain.steps=10";
  };
  for (const std::string text : {"seed", "=7", ".seed=7", "pretrain.=7", "pretrain..steps=7", ""})
    EXPECT_EQ(said(text), malformed(text));
  EXPECT_EQ(said("pretrian.steps=1"),
            "command line: pretrian.steps=1: the recipe has no key or stage 'pretrian' (did you "
            "mean 'pretrain'?)");
  EXPECT_EQ(said("sead=1"),
            "command line: sead=1: the recipe has no key or stage 'sead' (did you mean 'seed'?)");
  EXPECT_EQ(said("stages.seed.steps=1"),
            "command line: stages.seed.steps=1: the recipe has no stage 'seed'");
  EXPECT_EQ(said("stages=[]"),
            "command line: stages=[]: stages cannot be replaced from the command line");
  EXPECT_EQ(said("pretrain=1"),
            "command line: pretrain=1: 'pretrain' is a stage; name one of its keys");
  EXPECT_EQ(said("pretrain.stepz=1"),
            "command line: pretrain.stepz=1: unknown key 'stepz' (did you mean 'steps'?)");
  EXPECT_EQ(said("pretrain.steps=many"),
            "command line: pretrain.steps=many: 'steps' must be an integer, got 'many'");
  EXPECT_EQ(said("pretrain.steps=[1]"),
            "command line: pretrain.steps=[1]: 'steps' must be an integer, got a list");
  EXPECT_EQ(said("pretrain.steps=-1"),
            "command line: pretrain.steps=-1: 'steps' must not be negative, got -1");
  EXPECT_EQ(said("pretrain.steps.more=1"), "my.yaml:4: 'steps' must be an integer, got a mapping");
  EXPECT_EQ(said("tokenizer.special_tokens.more=1"),
            "command line: tokenizer.special_tokens.more=1: 'special_tokens' must be a list, got a "
            "mapping");
}

}  // namespace
}  // namespace tandem::launcher
