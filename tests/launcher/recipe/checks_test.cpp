// Recipes that read well and cannot work: every check, as the one line that a user sees.
#include "launcher/recipe/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/launcher/recipe/recipe_text.h"

namespace tandem::launcher {
namespace {

using test::expect_said;
using test::pretrain_text;
using test::problems;
using test::rlhf_text;
using test::with_data;

// A pretrain stage before what is under test, so that only that can be wrong; three lines.
std::string after_pretrain(const std::string& stages) {
  return with_data("stages:\n  - tokenizer: {data: DATA}\n  - pretrain: {data: DATA}\n" + stages);
}

TEST(RecipeChecks, find_nothing_in_recipes_that_work) {
  for (const std::int64_t ranks : {1, 2, 4, 8})
    EXPECT_EQ(problems(rlhf_text(), {.world_size = ranks}), "");
  EXPECT_EQ(problems(rlhf_text()), "");
  EXPECT_NO_THROW(require_valid(test::read(rlhf_text(), {.world_size = 2}), 2));
}

TEST(RecipeChecks, devices_have_names) {
  const auto with_device = [](const std::string& device) {
    return with_data("device: " + device + "\nstages:\n  - tokenizer: {data: DATA}\n");
  };
  for (const char* device : {"auto", "cpu", "cuda", "cuda:3"})
    EXPECT_EQ(problems(with_device(device)), "");
  expect_said(
      {{with_device("gpu"),
        "my.yaml:1: 'device' must be auto, cpu, cuda or cuda:N (N = 0 for the first GPU), got "
        "'gpu'"}});
}

TEST(RecipeChecks, objectives_suit_the_family) {
  const auto of_family = [](const std::string& family, const std::string& keys,
                            const std::string& stages = "") {
    return with_data("model: {model_type: " + family +
                     "}\nstages:\n  - tokenizer: {data: DATA}\n  - pretrain: {data: DATA" + keys +
                     "}\n" + stages);
  };
  expect_said({
      {of_family("bert", ", objective: causal"),
       "my.yaml:4: a bert cannot be trained on the objective 'causal'; use 'masked'"},
      {of_family("t5", ", objective: masked"),
       "my.yaml:4: a t5 cannot be trained on the objective 'masked'; use 'span_corruption'"},
      {of_family("llama", ", objective: infilling"),
       "my.yaml:4: a llama cannot be trained on the objective 'infilling'; use 'causal'"},
      {of_family("bert", ", noise: {density: 1}"),
       "my.yaml:4: 'noise.density' must be in [0, 0.9], got 1"},
      {of_family("bart", ", noise: {mean_span_length: 0}"),
       "my.yaml:4: 'noise.mean_span_length' must be in [1, 100], got 0"},
      {of_family("t5", "", "  - dpo: {data: DATA}\n"),
       "my.yaml:1: 'model_type' t5 is no decoder, but stage 'dpo' predicts the next token; choose "
       "a "
       "decoder such as llama or gpt2"},
      {of_family("bert", ", objective: hidden"),
       "my.yaml:4: 'objective' must be one of auto, causal, masked, span_corruption, infilling; "
       "got "
       "'hidden'"},
  });
  EXPECT_EQ(problems(of_family("bart", ", objective: span_corruption")), "");
}

TEST(RecipeChecks, ranges_of_plain_values) {
  expect_said({
      {pretrain_text("", "timeout: 0\n"), "my.yaml:2: 'timeout' must be positive, got 0"},
      {pretrain_text("", "seed: -1\n"), "my.yaml:2: 'seed' must not be negative, got -1"},
      {pretrain_text("      global_batch_size: 0\n"),
       "my.yaml:6: 'global_batch_size' must be positive, got 0"},
      {pretrain_text("      sequence_length: 1\n"),
       "my.yaml:6: 'sequence_length' must be at least 2, got 1"},
      {pretrain_text("      optimizer: {learning_rate: 0}\n"),
       "my.yaml:6: 'optimizer.learning_rate' must be positive, got 0"},
      {pretrain_text("      optimizer:\n        beta1: 0.5\n        beta2: 1\n"),
       "my.yaml:8: 'optimizer.beta2' must be in [0, 1), got 1"},
      {pretrain_text("      steps: 5\n      schedule: {warmup_steps: 9}\n"),
       "my.yaml:7: 'schedule.warmup_steps' 9 is more than the stage's 5 steps"},
      {pretrain_text("      keep_checkpoints: 0\n"),
       "my.yaml:6: 'keep_checkpoints' must be positive, got 0"},
      {pretrain_text("      samples: {top_p: 0}\n"),
       "my.yaml:6: 'samples.top_p' must be in (0, 1], got 0"},
      {after_pretrain("  - dpo: {data: DATA, beta: 0}\n"),
       "my.yaml:4: 'beta' must be positive, got 0"},
      {after_pretrain("  - dpo: {data: DATA, label_smoothing: 0.5}\n"),
       "my.yaml:4: 'label_smoothing' must be in [0, 0.5), got 0.5"},
      {after_pretrain("  - reward: {data: DATA, center_rewards_coefficient: -1}\n"),
       "my.yaml:4: 'center_rewards_coefficient' must not be negative, got -1"},
      {rlhf_text("      cliprange: 0\n"), "my.yaml:8: 'cliprange' must be positive, got 0"},
      {rlhf_text("      dual_clip: 0.5\n"),
       "my.yaml:8: 'dual_clip' must be more than 1, or 0 for none, got 0.5"},
      {rlhf_text("      calibration_samples: 1\n"),
       "my.yaml:8: 'calibration_samples' must be at least 2 to measure a deviation, got 1"},
  });
}

TEST(RecipeChecks, numbers_of_16_bits_suit_what_they_are_used_for) {
  expect_said({
      {pretrain_text("      precision: fp32\n      optimizer: {master_weights: false}\n"),
       "my.yaml:7: 'optimizer.master_weights' false leaves weights in bf16 alone, and needs "
       "precision: bf16 (it is fp32)"},
      {rlhf_text("      optimizer: {master_weights: false}\n"
                 "      placement: {shared: true, policy: {precision: fp32}}\n"),
       "my.yaml:9: 'optimizer.master_weights' false leaves weights in bf16 alone, but "
       "placement.policy.precision is fp32"},
      {pretrain_text("      loss_scale: {backoff_factor: 2}\n"),
       "my.yaml:6: 'loss_scale.backoff_factor' must be in (0, 1), got 2"},
      {pretrain_text("      loss_scale: {growth_interval: 0}\n"),
       "my.yaml:6: 'loss_scale.growth_interval' must be positive, got 0"},
      {pretrain_text(
           "      reproducible: layout\n      optimizer: {gradient_reduce_dtype: bf16}\n"),
       "my.yaml:6: 'reproducible: layout' adds gradients up in fp32; set "
       "optimizer.gradient_reduce_dtype to fp32"},
  });
}

TEST(RecipeChecks, numbers_of_8_bits_suit_what_they_are_used_for) {
  expect_said({
      {pretrain_text("      precision: fp8\n      fp8: {scaling: current}\n"), ""},
      {pretrain_text("      precision: fp8\n      optimizer: {master_weights: false}\n"),
       "my.yaml:7: 'optimizer.master_weights' false leaves weights in bf16 alone, and needs "
       "precision: bf16 (it is fp8)"},
      {pretrain_text("      fp8: {amax_history_len: 0}\n"),
       "my.yaml:6: 'fp8.amax_history_len' must be positive, got 0"},
      {pretrain_text("      fp8: {margin: -1}\n"),
       "my.yaml:6: 'fp8.margin' must be in [0, 32], got -1"},
      {after_pretrain("  - sft: {data: DATA, precision: fp8, lora: {rank: 8}, quantize: int8}\n"),
       "my.yaml:4: 'quantize' int8 leaves no matrix for precision: fp8 to multiply; set precision: "
       "bf16, or leave it out"},
      {after_pretrain("  - sft: {data: DATA, precision: fp8, lora: {rank: 8}}\n"), ""},
      {rlhf_text("      placement: {shared: true, reference: {precision: fp8, quantize: nf4}}\n"),
       "my.yaml:8: 'placement.reference.quantize' nf4 leaves no matrix for precision: fp8 to "
       "multiply; set precision: bf16, or leave it out"},
  });
}

TEST(RecipeChecks, steps_and_epochs_exclude_each_other) {
  expect_said({
      {pretrain_text("      steps: 5\n      epochs: 2\n"),
       "my.yaml:7: 'steps' and 'epochs' are both given; remove one, or set pretrain.epochs=1 for "
       "steps or pretrain.steps=0 for epochs"},
      {pretrain_text("      steps: 0\n      epochs: 2\n"), ""},
      {pretrain_text("      steps: 5\n      epochs: 1\n"), ""},
  });
}

TEST(RecipeChecks, sizes_of_the_model_fit_each_other) {
  expect_said({
      {pretrain_text("", "model: {hidden_size: 0}\n"),
       "my.yaml:2: model.hidden_size must be positive, got 0"},
      {pretrain_text("", "model: {hidden_size: 250}\n"),
       "my.yaml:2: model.hidden_size 250 is not divisible by num_attention_heads 4; choose a "
       "multiple or set head_dim"},
      {pretrain_text("", "model: {num_attention_heads: 4, num_key_value_heads: 3}\n"),
       "my.yaml:2: model.num_attention_heads 4 is not divisible by num_key_value_heads 3"},
      {pretrain_text("", "model: {vocab_size: 300}\n"),
       "my.yaml:2: 'vocab_size' 300 is less than the 8192 tokens of stage 'tokenizer'; leave it at "
       "0 to follow the tokenizer"},
      {pretrain_text("      sequence_length: 2048\n"),
       "my.yaml:6: sequences of 2048 tokens do not fit into model.max_position_embeddings 1024"},
      {rlhf_text("      response_length: 1000\n"),
       "my.yaml:8: sequences of 1064 tokens do not fit into model.max_position_embeddings 1024"},
  });
}

TEST(RecipeChecks, the_tokenizer_has_room_for_what_it_must_hold) {
  expect_said({
      {with_data("stages:\n  - tokenizer:\n      data: DATA\n      vocab_size: 100\n"),
       "my.yaml:2: vocab_size 100 is too small: the 256 bytes and 2 special tokens need at least "
       "258"},
  });
}

TEST(RecipeChecks, layouts_divide_the_model) {
  expect_said({
      {pretrain_text("      layout: {tensor_parallel: 3}\n"),
       "my.yaml:6: model.num_attention_heads 4 is not divisible by tensor_parallel 3; use a "
       "tensor_parallel that divides it"},
      {pretrain_text("      layout:\n        tensor_parallel: 4\n"),
       "my.yaml:7: model.num_key_value_heads 2 is not divisible by tensor_parallel 4; use a "
       "tensor_parallel that divides it"},
      // What is wrong in any layout is said once.
      {pretrain_text("      layout: {tensor_parallel: 2}\n", "model: {hidden_size: 0}\n"),
       "my.yaml:2: model.hidden_size must be positive, got 0"},
      {pretrain_text("      layout: {tensor_parallel: 0}\n"),
       "my.yaml:6: 'tensor_parallel' must be at least 1, got 0"},
      {pretrain_text("      layout: {data_parallel: -1}\n"),
       "my.yaml:6: 'data_parallel' must be at least 1, got -1"},
      {pretrain_text("      layout: {pipeline_parallel: 9}\n"),
       "my.yaml:6: a pipeline of 9 parts (pipeline_parallel 9 x virtual_stages 1) needs as many "
       "blocks, but the model has 4"},
      {pretrain_text("      layout: {virtual_stages: 2}\n"),
       "my.yaml:6: 'virtual_stages' 2 divides the stages of a pipeline, but pipeline_parallel is "
       "1"},
      {pretrain_text("      layout: {pipeline_parallel: 2, virtual_stages: 0}\n"),
       "my.yaml:6: 'virtual_stages' must be at least 1, got 0"},
      {rlhf_text("      placement:\n        policy: {context_parallel: 2}\n"),
       "my.yaml:9: 'context_parallel' 2 is for stages that train on a data set (pretrain, sft, "
       "reward, dpo, classify, contrastive); leave it at 1 here"},
      {rlhf_text("      placement:\n        policy: {zero_stage: 3}\n"),
       "my.yaml:9: 'zero_stage' 3 is for stages that train on a data set (pretrain, sft, reward, "
       "dpo, classify, contrastive), whose copies of the model work in step; use 2 here"},
      {pretrain_text("      layout: {zero_stage: 4}\n"),
       "my.yaml:6: 'zero_stage' must be 0, 1, 2 or 3, got 4"},
      {pretrain_text(
           "      reproducible: layout\n      layout: {data_parallel: 4, zero_stage: 1}\n"),
       "my.yaml:6: 'reproducible: layout' needs whole gradients of whole samples; set "
       "pipeline_parallel and context_parallel to 1 and zero_stage to 0 (the layout is dp4 zero1)"},
      {pretrain_text("      global_batch_size: 24\n      reproducible: layout\n"),
       "my.yaml:7: 'reproducible: layout' adds samples up in a binary tree, for which "
       "global_batch_size 24 and data_parallel 1 must be powers of two"},
      {pretrain_text("      layout: {data_parallel: 4, zero_group_size: 3}\n"),
       "my.yaml:6: 'zero_group_size' 3 does not divide the 4 copies of the model"},
      {rlhf_text("      placement:\n        reward: {tensor_parallel: 3}\n"),
       "my.yaml:9: model.num_attention_heads 4 is not divisible by tensor_parallel 3; use a "
       "tensor_parallel that divides it"},
  });
}

TEST(RecipeChecks, layouts_fit_the_ranks_started) {
  const std::string both = "      layout: {data_parallel: 4, tensor_parallel: 2}\n";
  expect_said({
      {pretrain_text("      layout: {data_parallel: 2, pipeline_parallel: 2}\n"),
       "my.yaml:6: stage 'pretrain' is laid out for 4 ranks (pp2 x dp2), but 1 was started; start "
       "it with mpirun -np 4, or set pretrain.layout.data_parallel=1 and "
       "pretrain.layout.pipeline_parallel=1",
       {.world_size = 1}},
      {pretrain_text("      layout: {tensor_parallel: 2}\n"),
       "my.yaml:6: stage 'pretrain' is laid out for 2 ranks (tp2), but 1 was started; start it "
       "with mpirun -np 2, or set pretrain.layout.tensor_parallel=1",
       {.world_size = 1}},
      {pretrain_text("      layout: {data_parallel: 4}\n"),
       "my.yaml:6: stage 'pretrain' is laid out for 4 ranks (dp4), but 2 were started; start it "
       "with mpirun -np 4, or set pretrain.layout.data_parallel=2",
       {.world_size = 2}},
      {pretrain_text(both),
       "my.yaml:6: stage 'pretrain' is laid out for 8 ranks (dp4 x tp2), but 4 were started; start "
       "it with mpirun -np 8, or set pretrain.layout.data_parallel=2",
       {.world_size = 4}},
      {pretrain_text(both),
       "my.yaml:6: stage 'pretrain' is laid out for 8 ranks (dp4 x tp2), but 1 was started; start "
       "it with mpirun -np 8, or set pretrain.layout.data_parallel=1 and "
       "pretrain.layout.tensor_parallel=1",
       {.world_size = 1}},
      {pretrain_text(both), "", {.world_size = 9}},
  });
}

TEST(RecipeChecks, batches_divide_over_the_ranks) {
  expect_said({
      {pretrain_text("      global_batch_size: 32\n"),
       "my.yaml:6: 'global_batch_size' 32 is not divisible by data_parallel 3; use 30 or 33",
       {.world_size = 3}},
      {pretrain_text("      global_batch_size: 2\n"),
       "my.yaml:6: 'global_batch_size' 2 is not divisible by data_parallel 4; use 4",
       {.world_size = 4}},
      {pretrain_text("      global_batch_size: 32\n      micro_batch_size: 5\n"),
       "my.yaml:7: 'micro_batch_size' 5 does not divide a replica's share of 16 (global_batch_size "
       "32 / data_parallel 2)",
       {.world_size = 2}},
      {rlhf_text("      total_episodes: 100\n"),
       "my.yaml:8: 'total_episodes' 100 is not a multiple of rollout_batch_size 64; the nearest is "
       "128"},
      {rlhf_text("      num_mini_batches: 3\n"),
       "my.yaml:8: 'num_mini_batches' 3 does not divide rollout_batch_size 64"},
      {rlhf_text("      rollout_batch_size: 32\n      num_mini_batches: 16\n"),
       "my.yaml:8: a minibatch of 2 responses (rollout_batch_size 32 / num_mini_batches 16) is not "
       "divisible by the policy's data_parallel 4; use rollout_batch_size 64",
       {.world_size = 4}},
      {rlhf_text("      micro_batch_size: 5\n"),
       "my.yaml:8: 'micro_batch_size' 5 does not divide a replica's share of 64 "
       "(rollout_batch_size 64 / data_parallel 1)"},
  });
}

TEST(RecipeChecks, data_is_there) {
  const std::string here = std::filesystem::current_path().string();
  expect_said({
      {"stages:\n  - tokenizer:\n      data: no/such.txt\n",
       "my.yaml:3: no such file: no/such.txt; paths start from " + here},
      {"stages:\n  - tokenizer: {data: data/readers}\n",
       "my.yaml:2: data/readers: no data in this folder; put .jsonl, .parquet or .txt files there, "
       "or set "
       "'format' for files of other names"},
      {"stages:\n  - tokenizer: {data: data/demo/nothing.txt}\n",
       "my.yaml:2: no such file: data/demo/nothing.txt; tools/demo_data/fetch.sh makes the demo's "
       "data (./run.sh does so by itself)"},
      {"stages:\n  - tokenizer: {data: {path: \"\"}}\n",
       "my.yaml:2: path of the data is empty; set it to a text, JSONL or Parquet file"},
      {pretrain_text("      validation: no/such.txt\n"),
       "my.yaml:6: no such file: no/such.txt; paths start from " + here},
      {after_pretrain("  - evaluate: {prompts: DATA, lexicon: no/such.txt}\n"),
       "my.yaml:4: no such file: no/such.txt; paths start from " + here},
      {with_data("stages:\n  - tokenizer: {data: {path: DATA, validation_fraction: 1}}\n"),
       with_data("my.yaml:2: DATA: validation_fraction is 1; it must be at least 0 and below 1")},
  });
}

TEST(RecipeChecks, stages_have_something_to_start_from) {
  expect_said({
      {with_data("stages:\n  - tokenizer: {data: DATA}\n  - sft: {data: DATA}\n"),
       "my.yaml:3: stage 'sft' has no trained model to start from; put a pretrain stage before it, "
       "or set its 'from' or 'model.from'"},
      {with_data("stages:\n  - pretrain: {data: DATA}\n"),
       "my.yaml:2: stage 'pretrain' has no tokenizer; put a tokenizer stage before it, or set "
       "'tokenizer_from'"},
      {after_pretrain("  - ppo: {prompts: DATA}\n"),
       "my.yaml:4: stage 'ppo' has no reward model; put a reward stage before it, or set "
       "'reward_from'"},
      {after_pretrain("  - rejection_sampling: {prompts: DATA}\n"),
       "my.yaml:4: stage 'rejection_sampling' has no reward model; put a reward stage before it, "
       "or "
       "set 'reward_from'"},
      // Without a reward model there is just no such column in the summary.
      {after_pretrain("  - evaluate: {prompts: DATA}\n"), ""},
  });
}

TEST(RecipeChecks, sources_exist_and_hold_what_is_asked_of_them) {
  expect_said({
      {after_pretrain("  - sft: {data: DATA, from: pretrian}\n"),
       "my.yaml:4: 'from' names neither a stage nor a directory: 'pretrian' (did you mean "
       "'pretrain'?)"},
      {after_pretrain("  - sft: {data: DATA, from: dpo}\n  - dpo: {data: DATA}\n"),
       "my.yaml:4: 'from' names 'dpo', which does not come before stage 'sft'"},
      {after_pretrain("  - sft: {data: DATA, from: sft}\n"),
       "my.yaml:4: 'from' names 'sft', which does not come before stage 'sft'"},
      {after_pretrain("  - sft: {data: DATA, from: tokenizer}\n"),
       "my.yaml:4: 'from' names 'tokenizer', a tokenizer stage, which makes no language model"},
      {rlhf_text("      reward_from: pretrain\n      critic_from: reward\n"),
       "my.yaml:8: 'reward_from' names 'pretrain', a pretrain stage, which makes no reward model"},
      {rlhf_text("      critic_from: pretrain\n"), ""},
      {rlhf_text("      reference_from: reward\n"),
       "my.yaml:8: 'reference_from' names 'reward', a reward stage, which makes no language model"},
      {after_pretrain("  - sft: {data: DATA, from: no/such/model}\n"),
       "my.yaml:4: no such directory: no/such/model; run the recipe that makes it first, or name "
       "another"},
      {after_pretrain("  - sft: {data: DATA, from: tests/launcher}\n"),
       "my.yaml:4: tests/launcher holds no model (config.json and model.safetensors, or "
       "one .gguf)"},
      {after_pretrain("  - sft: {data: DATA, from: tests/golden/data/llama_tiny}\n"), ""},
  });
}

TEST(RecipeChecks, a_model_from_a_directory) {
  const std::string sft = "stages:\n  - sft: {data: DATA}\n";
  expect_said({
      {with_data("model: {from: tests/golden/data/llama_tiny}\n" + sft), ""},
      {with_data("model: {from: no/such}\n" + sft),
       "my.yaml:1: no such directory: no/such; run the recipe that makes it first, or name "
       "another"},
      {with_data("model: {from: tests/golden/data/llama_tiny, hidden_size: 64}\n" + sft),
       "my.yaml:1: 'hidden_size' and 'from' are both given, but a model from a directory brings "
       "its "
       "sizes; remove one"},
      {with_data("tokenizer_from: tests/golden/data/bpe\nstages:\n  - pretrain: {data: DATA}\n"),
       ""},
      {with_data("tokenizer_from: tests\nstages:\n  - pretrain: {data: DATA}\n"),
       "my.yaml:1: tests holds no tokenizer (tokenizer.json, or another file that "
       "docs/files.md lists)"},
  });
}

TEST(RecipeChecks, the_run_folder_can_be_made) {
  const std::string stages = "\nstages:\n  - tokenizer: {data: DATA}\n";
  const std::string file = with_data("DATA");
  expect_said({
      {with_data("run_dir: DATA" + stages),
       "my.yaml:1: run_dir " + file +
           " cannot be made: " + std::filesystem::absolute(file).string() + " is not a folder"},
      {with_data("run_dir: DATA/below" + stages),
       "my.yaml:1: run_dir " + file + "/below cannot be made: " +
           std::filesystem::absolute(file).string() + " is not a folder"},
      {with_data("run_dir: /tmp/tandem/that/is/not/there/yet" + stages), ""},
  });
  if (geteuid() == 0) return;  // who may write everywhere
  expect_said({{with_data("run_dir: /proc/run" + stages),
                "my.yaml:1: run_dir /proc/run cannot be written: no permission in /proc"}});
}

TEST(RecipeChecks, options_that_need_each_other) {
  expect_said({
      {after_pretrain("  - reward: {data: DATA, use_margin: true}\n"),
       "my.yaml:4: 'use_margin' needs 'data.margin_field', the name of the field with the margins"},
      {after_pretrain(
           "  - reward: {data: DATA}\n  - rejection_sampling: {prompts: DATA, keep: 5}\n"),
       "my.yaml:5: 'keep' must be in [1, num_samples 4], got 5"},
      {after_pretrain("  - evaluate: {prompts: DATA, num_samples: 0}\n"),
       "my.yaml:4: 'num_samples' must be positive, got 0"},
      {after_pretrain("  - evaluate: {prompts: DATA, shown: -1}\n"),
       "my.yaml:4: 'shown' must not be negative, got -1"},
      {after_pretrain("  - evaluate: {prompts: DATA, top_p: 2}\n"),
       "my.yaml:4: 'top_p' must be in (0, 1], got 2"},
  });
}

TEST(RecipeChecks, services_listen_somewhere) {
  expect_said({
      {rlhf_text("      services:\n        port: 70000\n"),
       "my.yaml:9: 'port' must be in [0, 65535], got 70000"},
      {rlhf_text("      services: {timeout: 0}\n"), "my.yaml:8: 'timeout' must be positive, got 0"},
      {rlhf_text("      services: {host: \"\"}\n"),
       "my.yaml:8: 'host' is empty; use 127.0.0.1 for ranks on one machine"},
  });
}

TEST(RecipeChecks, more_problems_than_one_are_counted) {
  const Recipe recipe = test::read(
      pretrain_text("      global_batch_size: 0\n      sequence_length: 1\n", "seed: -1\n"));
  try {
    require_valid(recipe, 4);
    FAIL() << "accepted";
  } catch (const runtime::Error& error) {
    EXPECT_STREQ(
        error.what(),
        "my.yaml:2: 'seed' must not be negative, got -1 (2 more; list them with: ./trainer "
        "validate my.yaml --ranks 4)");
    EXPECT_EQ(error.exit_code(), 2);
  }
}

}  // namespace
}  // namespace tandem::launcher
