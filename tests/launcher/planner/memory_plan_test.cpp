// Promises of launcher/planner: what each part of the memory follows from, and what to change where
// it does not suffice. That a plan is what a run takes is shown by tests/multi_rank/trainer.
#include "launcher/planner/memory_plan.h"

#include <gmock/gmock.h>

#include "launcher/planner/refusal.h"
#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kEmbedding = 400 * 64;
constexpr std::int64_t kParameters = kEmbedding + 2 * (64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 128);

Recipe recipe_with(const std::string& keys, std::int64_t ranks = 4) {
  return parse_recipe(
      "name: plan\nrun_dir: /nowhere\nprecision: fp32\n"
      "model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, "
      "num_attention_heads: 4, num_key_value_heads: 2, "
      "max_position_embeddings: 128}\n"
      "stages:\n"
      "  - tokenizer: {data: text.txt, vocab_size: 400}\n"
      "  - pretrain: {data: text.txt, steps: 1, global_batch_size: 64, "
      "sequence_length: 16, samples: {count: 0}" +
          keys + "}\n",
      "plan.yaml", {}, ranks);
}

StageMemory plan(const std::string& keys) {
  const Recipe recipe = recipe_with(keys);
  return MemoryPlanner(recipe).plan(recipe.stages[1]);
}

RoleMemory model(const std::string& keys) {
  return plan(keys).roles.at(0);
}

void expect_near(std::int64_t bytes, double expected) {
  EXPECT_NEAR(static_cast<double>(bytes), expected, 0.05 * expected);
}

TEST(MemoryPlan, counts_what_every_parameter_takes) {
  const RoleMemory fp32 = model("");
  expect_near(fp32.parameters, 4.0 * kParameters);
  expect_near(fp32.gradients, 4.0 * kParameters);
  expect_near(fp32.optimizer, 8.0 * kParameters);
  expect_near(model(", precision: bf16").parameters, 6.0 * kParameters);
}

TEST(MemoryPlan, copies_divide_what_the_recipe_says) {
  const std::string layout = ", layout: {data_parallel: 4, zero_stage: ";
  expect_near(model(layout + "1}").optimizer, 2.0 * kParameters);
  expect_near(model(layout + "1}").gradients, 4.0 * kParameters);
  expect_near(model(layout + "2}").gradients, 1.0 * kParameters);
  // The embedding stays whole.
  expect_near(model(layout + "2}").parameters - model(layout + "3}").parameters,
              4.0 * 0.75 * (kParameters - kEmbedding));
  expect_near(model(", layout: {tensor_parallel: 2}").parameters, 2.0 * kParameters);
}

// A stage for whole texts on the same model, with a micro-batch of 8 samples.
RoleMemory text_model(const std::string& stage, const std::string& keys, std::int64_t ranks = 1) {
  const Recipe recipe = parse_recipe(
      "name: plan\nrun_dir: /nowhere\nprecision: fp32\n"
      "model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, "
      "num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}\n"
      "stages:\n"
      "  - tokenizer: {data: text.txt, vocab_size: 400}\n"
      "  - " +
          stage + ": {data: {path: data.jsonl" + keys +
          ", steps: 1, global_batch_size: 8, sequence_length: 16}\n",
      "plan.yaml", {}, ranks);
  return MemoryPlanner(recipe).plan(recipe.stages[1]).roles.at(0);
}

// A little more than half is left: a rank gathers the keys of all.
TEST(MemoryPlan, ranks_divide_whole_texts_too) {
  for (const auto& [stage, keys] :
       std::vector<std::pair<std::string, std::string>>{{"reward", "}"},
                                                        {"dpo", "}"},
                                                        {"classify", "}, labels: [a, b, c]"},
                                                        {"contrastive", "}"}}) {
    const RoleMemory whole = text_model(stage, keys),
                     half = text_model(stage, keys + ", layout: {context_parallel: 2}", 2);
    EXPECT_EQ(half.held(), whole.held()) << stage;
    EXPECT_LT(static_cast<double>(half.activations), 0.7 * static_cast<double>(whole.activations))
        << stage;
    EXPECT_GT(static_cast<double>(half.activations), 0.4 * static_cast<double>(whole.activations))
        << stage;
  }
}

TEST(MemoryPlan, knows_the_texts_of_classifiers_and_embeddings) {
  const RoleMemory classifier = text_model("classify", "}, labels: [a, b, c]");
  const std::int64_t norms = 5 * 64;
  EXPECT_EQ(classifier.gradients, 4 * (kParameters + norms + 3 * 64));
  const RoleMemory pairs = text_model("contrastive", "}"),
                   triplets = text_model("contrastive", ", negative_field: negative}");
  EXPECT_EQ(pairs.gradients, 4 * (kParameters + norms));
  const auto one = static_cast<double>(classifier.activations);
  EXPECT_NEAR(static_cast<double>(pairs.activations), 2 * one, 0.1 * one);
  EXPECT_NEAR(static_cast<double>(triplets.activations), 3 * one, 0.1 * one);
}

// Cards hold more logits at a time.
TEST(MemoryPlan, knows_what_the_device_holds_of_logits) {
  const Recipe recipe = parse_recipe(
      "name: plan\nrun_dir: /nowhere\nprecision: bf16\n"
      "model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 1, "
      "num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}\n"
      "stages:\n"
      "  - tokenizer: {data: text.txt, vocab_size: 50000}\n"
      "  - pretrain: {data: text.txt, steps: 1, global_batch_size: 64, "
      "micro_batch_size: 64, sequence_length: 16, samples: {count: 0}}\n",
      "plan.yaml", {}, 1);
  const auto activations = [&](runtime::DeviceType device) {
    return MemoryPlanner(recipe, device).plan(recipe.stages[1]).roles.at(0).activations;
  };
  // 1,024 targets at once, or 256: fp32 logits and bf16 gradients. The peak without them is
  // somewhere else.
  const double more = 6.0 * (1024 - 256) * 50000;
  const auto difference = static_cast<double>(activations(runtime::DeviceType::kCUDA) -
                                              activations(runtime::DeviceType::kCPU));
  EXPECT_LE(difference, more);
  EXPECT_GE(difference, 0.9 * more);
}

TEST(MemoryPlan, activations_follow_the_micro_batch_and_recomputation) {
  const std::int64_t eight = model(", micro_batch_size: 8").activations,
                     four = model(", micro_batch_size: 4").activations,
                     selective = model(", micro_batch_size: 8, recompute: selective").activations,
                     full = model(", micro_batch_size: 8, recompute: full").activations;
  EXPECT_GT(eight, 1.6 * static_cast<double>(four));
  EXPECT_LT(selective, eight);
  EXPECT_LT(full, selective);
}

// To the host of a card; on a CPU there is nowhere else.
TEST(MemoryPlan, offload_counts_where_there_is_a_card) {
  const Recipe kept = recipe_with(", micro_batch_size: 8"),
               moved = recipe_with(
                   ", micro_batch_size: 8, offload_activations: true, optimizer: {offload: true}");
  const auto on = [](const Recipe& recipe, runtime::DeviceType device) {
    return MemoryPlanner(recipe, device).plan(recipe.stages[1]).roles.at(0);
  };
  const RoleMemory card = on(kept, runtime::DeviceType::kCUDA),
                   beside = on(moved, runtime::DeviceType::kCUDA);
  EXPECT_EQ(beside.parameters, card.parameters);
  EXPECT_EQ(beside.optimizer, 0);
  EXPECT_LT(beside.activations, card.activations);
  EXPECT_EQ(on(moved, runtime::DeviceType::kCPU).peak(),
            on(kept, runtime::DeviceType::kCPU).peak());
}

TEST(MemoryPlan, ranks_that_do_nothing_need_nothing) {
  const StageMemory stage = plan(", layout: {data_parallel: 2}");
  EXPECT_EQ(stage.peak_of(0), stage.peak_of_a_rank());
  EXPECT_EQ(stage.peak_of(1), stage.peak_of_a_rank());
  EXPECT_EQ(stage.peak_of(2), 0);
  const Recipe recipe = recipe_with("");
  EXPECT_TRUE(MemoryPlanner(recipe).plan(recipe.stages[0]).roles.empty());
}

TEST(MemoryPlan, names_the_changes_that_are_enough) {
  const Recipe recipe = recipe_with(", micro_batch_size: 2, layout: {data_parallel: 4}");
  const Stage& stage = recipe.stages[1];
  MemoryPlanner planner(recipe);
  const std::int64_t need = planner.plan(stage).peak_of_a_rank();
  EXPECT_THAT(changes_that_fit(planner, stage, need - 1),
              ElementsAre("pretrain.layout.zero_stage=1", "pretrain.micro_batch_size=1",
                          "pretrain.recompute=selective"));
  EXPECT_THAT(changes_that_fit(planner, stage, need - 5 * kParameters),
              ElementsAre("pretrain.layout.zero_stage=1"));
  EXPECT_THAT(changes_that_fit(planner, stage, need - 8 * kParameters),
              ElementsAre(HasSubstr("pretrain.layout.zero_stage=3")));
  EXPECT_TRUE(changes_that_fit(planner, stage, 1000).empty());
}

TEST(MemoryPlan, a_stage_that_does_not_fit_is_refused_with_what_to_change) {
  const Recipe recipe = recipe_with(", micro_batch_size: 8");
  MemoryPlanner planner(recipe);
  const std::vector<StageMemory> plans = planner.plan_all();
  require_memory_of_each_rank(planner, plans, 1 << 30);
  try {
    require_memory_of_each_rank(planner, plans, plans[1].peak_of_a_rank() - 1);
    FAIL() << "accepted";
  } catch (const runtime::Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.what(), HasSubstr("stage 'pretrain' needs "));
    EXPECT_THAT(
        error.what(),
        HasSubstr("; set pretrain.layout.zero_stage=1, or pretrain.micro_batch_size=4, or "));
  }
}

TEST(FormatBytes, has_three_digits) {
  EXPECT_EQ(format_bytes(17), "17 B");
  EXPECT_EQ(format_bytes(1'234'567), "1.23 MB");
  EXPECT_EQ(format_bytes(80'000'000'000), "80 GB");
}

}  // namespace
}  // namespace tandem::launcher
