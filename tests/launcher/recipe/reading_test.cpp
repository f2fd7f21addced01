// Reading is strict, and says where and what, in one line.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::expect_said;
using test::pretrain_text;
using test::with_data;

TEST(RecipeReading, accepts_what_it_should) {
  const Recipe recipe = test::read(pretrain_text(
      "      steps: 12\n"
      "      optimizer: {learning_rate: 1e-3, clip_grad_norm: 0}\n"
      "      schedule: {kind: linear}\n"
      "      recompute: full\n",
      "seed: 7\nprecision: fp32\nmodel:\n  hidden_size: 64\n  tie_word_embeddings: false\n"));
  EXPECT_EQ(recipe.seed, 7);
  EXPECT_EQ(recipe.model.sizes->hidden_size, 64);
  EXPECT_FALSE(recipe.model.sizes->tie_word_embeddings);
  const auto& stage = std::get<PretrainStage>(recipe.find_stage("pretrain")->config);
  EXPECT_EQ(stage.train.steps, 12);
  EXPECT_EQ(stage.train.optimizer.learning_rate, 1e-3);
  EXPECT_EQ(stage.train.optimizer.clip_grad_norm, 0.0);
  EXPECT_EQ(stage.train.schedule.kind, runtime::ScheduleKind::kLinear);
  EXPECT_EQ(stage.train.activations.recompute, models::Recompute::kFull);
  EXPECT_EQ(stage.train.precision, runtime::Precision::kFp32);
  EXPECT_EQ(stage.data.path, with_data("DATA"));
}

TEST(RecipeReading, anchors_and_unset_sections_are_plain_yaml) {
  const Recipe recipe =
      test::read(pretrain_text("      steps: &steps 3\n"
                               "      eval_every: *steps\n"
                               "      optimizer:\n"));
  EXPECT_EQ(std::get<PretrainStage>(recipe.stages[1].config).train.eval_every, 3);
  EXPECT_EQ(std::get<PretrainStage>(recipe.stages[1].config).train.optimizer.learning_rate, 3e-4);
}

TEST(RecipeReading, text_is_text_whatever_it_looks_like) {
  const Recipe recipe =
      test::read(pretrain_text("      name: \"007\"\n", "chat_template: 'true'\nname: 1.0\n"));
  EXPECT_EQ(recipe.name, "1.0");
  EXPECT_EQ(recipe.chat_template, "true");
  EXPECT_EQ(recipe.stages[1].name, "007");
}

TEST(RecipeReading, the_file_gives_name_and_folder) {
  const Recipe recipe =
      parse_recipe(with_data("stages:\n  - tokenizer: {data: DATA}\n"), "a/b.yaml");
  EXPECT_EQ(recipe.name, "b");
  EXPECT_EQ(recipe.run_dir, "runs/b");
  EXPECT_EQ(recipe.stage_folder("tokenizer"), std::filesystem::path("runs/b/tokenizer"));
}

TEST(RecipeReading, unknown_keys_are_refused_with_a_suggestion) {
  expect_said({
      {pretrain_text("      optimizer:\n        learing_rate: 1e-3\n"),
       "my.yaml:7: unknown key 'learing_rate' (did you mean 'learning_rate'?)"},
      {pretrain_text("      learning_rate: 1e-3\n"),
       "my.yaml:6: unknown key 'learning_rate' (did you mean 'optimizer.learning_rate'?)"},
      {pretrain_text("      learing_rate: 1e-3\n"),
       "my.yaml:6: unknown key 'learing_rate' (did you mean 'optimizer.learning_rate'?)"},
      {pretrain_text("", "sead: 7\n"), "my.yaml:2: unknown key 'sead' (did you mean 'seed'?)"},
      {pretrain_text("", "stagse: 7\n"),
       "my.yaml:2: unknown key 'stagse' (did you mean 'stages'?)"},
      {pretrain_text("      qwertzuiop: 1\n"), "my.yaml:6: unknown key 'qwertzuiop'"},
      {pretrain_text("      steps: many\n      stepz: 1\n"),
       "my.yaml:7: unknown key 'stepz' (did you mean 'steps'?)"},
  });
}

TEST(RecipeReading, values_of_the_wrong_type_are_refused) {
  expect_said({
      {pretrain_text("      steps: many\n"), "my.yaml:6: 'steps' must be an integer, got 'many'"},
      {pretrain_text("      steps: 1e3\n"), "my.yaml:6: 'steps' must be an integer, got '1e3'"},
      {pretrain_text("      steps: 99999999999999999999\n"),
       "my.yaml:6: 'steps' must be an integer, got '99999999999999999999'"},
      {pretrain_text("      steps: \"3\"\n"),
       "my.yaml:6: 'steps' must be an integer, got the text '3'"},
      {pretrain_text("      steps: [1, 2]\n"), "my.yaml:6: 'steps' must be an integer, got a list"},
      {pretrain_text("      steps:\n"), "my.yaml:6: 'steps' must be an integer, got nothing"},
      {pretrain_text("      epochs: .inf\n"), "my.yaml:6: 'epochs' must be a number, got '.inf'"},
      {pretrain_text("      epochs: nan\n"), "my.yaml:6: 'epochs' must be a number, got 'nan'"},
      {pretrain_text("", "model: {tie_word_embeddings: yes}\n"),
       "my.yaml:2: 'tie_word_embeddings' must be true or false, got 'yes'"},
      {pretrain_text("", "name: {a: b}\n"), "my.yaml:2: 'name' must be text, got a mapping"},
      {pretrain_text("      precision: fp64\n"),
       "my.yaml:6: 'precision' must be one of fp32, bf16, fp16, fp8; got 'fp64'"},
      {pretrain_text("      optimizer: 3\n"),
       "my.yaml:6: 'optimizer' must be a mapping of keys to values, got '3'"},
      {pretrain_text("", "model: [a]\n"),
       "my.yaml:2: 'model' must be a mapping of keys to values, got a list"},
      {with_data("stages:\n  - tokenizer: {data: DATA, special_tokens: x}\n"),
       "my.yaml:2: 'special_tokens' must be a list, got 'x'"},
      {with_data("stages:\n  - tokenizer: {data: DATA, special_tokens: [a, [b]]}\n"),
       "my.yaml:2: each item of 'special_tokens' must be text, got a list"},
  });
}

TEST(RecipeReading, required_keys_are_missed_where_they_belong) {
  expect_said({
      {"stages:\n  - tokenizer:\n      vocab_size: 300\n",
       "my.yaml:2: 'data' is missing: the text to learn from"},
      {"stages:\n  - tokenizer:\n", "my.yaml:2: 'data' is missing: the text to learn from"},
      {"stages:\n  - tokenizer:\n      data:\n        format: text\n",
       "my.yaml:3: 'path' is missing: the data: a file, a folder, or a pattern such as "
       "data/shards/*.jsonl"},
  });
}

TEST(RecipeReading, what_is_not_a_recipe_is_refused) {
  expect_said({
      {"", "my.yaml: the recipe is empty"},
      {"# only a comment\n", "my.yaml: the recipe is empty"},
      {"- a\n- b\n", "my.yaml:1: a recipe is a mapping of keys to values, got a list"},
      {"name: x\n", "my.yaml: 'stages' is missing: the list of what to do"},
      {"name: x\nstages: []\n",
       "my.yaml:2: 'stages' must be a list of stages, each starting with '- ', got an empty one"},
      {"stages: {sft: {}}\n",
       "my.yaml:1: 'stages' must be a list of stages, each starting with '- ', got a mapping"},
      {"stages:\n  - sft: {}\n    dpo: {}\n",
       "my.yaml:2: a stage is one key with its settings, such as '- sft: {…}'; got 2 keys"},
      {"stages:\n  - sft\n",
       "my.yaml:2: a stage is one key with its settings, such as '- sft: {…}'; got 'sft'"},
      {"stages:\n  - pretrian: {}\n",
       "my.yaml:2: unknown kind of stage 'pretrian' (did you mean 'pretrain'?); known: tokenizer, "
       "pretrain, sft, reward, dpo, ppo, rejection_sampling, evaluate, classify, contrastive"},
  });
}

TEST(RecipeReading, stages_need_names_of_their_own) {
  expect_said({
      {with_data("stages:\n  - tokenizer: {data: DATA}\n"), ""},
      {with_data("stages:\n  - tokenizer: {data: DATA}\n  - tokenizer: {data: DATA}\n"),
       "my.yaml:3: two stages are named 'tokenizer' (the first at my.yaml:2); give one of them "
       "another 'name'"},
      {with_data("stages:\n  - tokenizer: {data: DATA, name: a/b}\n"),
       "my.yaml:2: stage name 'a/b' must consist of letters, digits, '_' and '-'"},
      {with_data("stages:\n  - tokenizer: {data: DATA, name: model}\n"),
       "my.yaml:2: a stage cannot be named 'model', which is a key of the recipe"},
      {with_data("stages:\n  - tokenizer: {data: DATA, name: [a]}\n"),
       "my.yaml:2: 'name' must be text, got a list"},
  });
}

TEST(RecipeReading, broken_yaml_is_located) {
  expect_said({
      {"name: a\nname: b\n", "my.yaml:2: 'name' is given twice (first at my.yaml:1)"},
      {"name: a\nmodel: {hidden_size: 1, hidden_size: 2}\n",
       "my.yaml:2: 'hidden_size' is given twice (first at my.yaml:2)"},
      {"name: a\n---\nname: b\n", "my.yaml:3: a second document; a recipe is one"},
      {"[a]: b\n", "my.yaml:1: a key must be a word, got a list"},
      {"name: a\nrun_dir: \xff\n", "my.yaml:2: not UTF-8 text (byte 0xff); save the file as UTF-8"},
  });
}

// What the parser says differs between its versions.
TEST(RecipeReading, the_parsers_own_complaints_are_located) {
  for (const auto& [text, line] : {std::pair{"name: a\nstages: [\n", 3},
                                   {"name: \"a", 1},
                                   {"seed: 1\nname: a: b\n", 2},
                                   {"name: *nowhere\n", 1},
                                   {"stages:\n\t- a\n", 2}})
    EXPECT_THAT(test::problems(text),
                testing::StartsWith(fmt::format("my.yaml:{}: not valid YAML: ", line)))
        << text;
}

TEST(RecipeReading, aliases_cannot_explode) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    text += fmt::format("a{}: &a{} [", i, i);
    for (int j = 0; j < 9; ++j) text += fmt::format("*a{}, ", i - 1);
    text += "x]\n";
  }
  EXPECT_EQ(test::problems(text), "my.yaml:5: too many values for a recipe");
}

TEST(RecipeReading, files_that_are_no_recipes_are_refused) {
  const auto message = [](const std::filesystem::path& file) {
    try {
      load_recipe(file);
    } catch (const runtime::Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message("/nowhere/my.yaml"), "/nowhere/my.yaml: no such file");
  EXPECT_EQ(message("tests"), "tests: not a regular file");
  const auto huge = std::filesystem::temp_directory_path() / "tandem-huge-recipe.yaml";
  std::ofstream(huge) << std::string(5 << 20, ' ');
  EXPECT_EQ(message(huge), huge.string() + ": 5242880 bytes; this is not a recipe");
  std::filesystem::remove(huge);
}

}  // namespace
}  // namespace tandem::launcher
