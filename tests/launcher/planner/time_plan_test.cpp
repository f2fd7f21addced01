// Promises of launcher/planner/time_plan.h: a step's arithmetic is that of the closed formula and
// of torch.utils.flop_counter (tests/golden/flops.py) however ranks divide it, its traffic is what
// layouts are known for, and predictions lie near what others publish.
#include "launcher/planner/time_plan.h"

#include <gmock/gmock.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/support/golden.h"

namespace tandem::launcher {
namespace {

using parallel::OperationKind;
using parallel::Transfer;
using runtime::KernelWork;
using ::testing::HasSubstr;

// The model of the fixture `flops`, with a step of as many tokens.
Recipe recipe_with(const std::string& keys, const std::string& family = "model_type: llama, ",
                   const std::vector<std::string>& overrides = {}) {
  const bool llama = family.find("llama") != std::string::npos;
  return parse_recipe(
      "name: plan\nrun_dir: /nowhere\nprecision: fp32\n"
      "model: {" +
          family +
          "hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, "
          "num_attention_heads: 4, " +
          (llama ? "num_key_value_heads: 2, " : "") +
          "max_position_embeddings: 128, vocab_size: 400}\n"
          "tokenizer_from: nowhere\n"
          "stages:\n"
          "  - pretrain: {data: text.txt, steps: 1, global_batch_size: 8, sequence_length: 16, "
          "samples: {count: 0}" +
          keys + "}\n",
      "plan.yaml", overrides, 1);
}

// What one rank does in a step of as many micro-batches as are traced.
RoleStep step_of(const Recipe& recipe, int pipeline_stage = 0) {
  return *MemoryPlanner(recipe).plan_with_steps(recipe.stages[0], pipeline_stage).roles.at(0).step;
}
RoleStep step_with(const std::string& keys, int pipeline_stage = 0) {
  return step_of(recipe_with(keys), pipeline_stage);
}

double operations(const RoleStep& step, KernelWork::Kind kind) {
  double sum = 0;
  for (const StepTrace::Event& event : step.trace.events)
    if (const auto* work = std::get_if<KernelWork>(&event); work != nullptr && work->kind == kind)
      sum += work->operations;
  return sum;
}
double products(const RoleStep& step) {
  return operations(step, KernelWork::Kind::kMatmul);
}

// Bytes by group and kind of transfer.
std::map<std::pair<std::string, OperationKind>, std::int64_t> traffic(const RoleStep& step) {
  std::map<std::pair<std::string, OperationKind>, std::int64_t> bytes;
  for (const StepTrace::Event& event : step.trace.events)
    if (const auto* t = std::get_if<Transfer>(&event)) bytes[{t->group, t->kind}] += t->bytes;
  return bytes;
}

// The last token of each text predicts nothing, and does not go through the output matrix.
constexpr std::int64_t kTexts = 8, kTokens = kTexts * 16, kTargets = kTokens - kTexts;
constexpr std::int64_t kBlock = 64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 128;
constexpr std::int64_t kEmbedding = 400 * 64, kMatrices = 2 * kBlock + kEmbedding;
constexpr std::int64_t kNorms = 5 * 64, kParameters = kMatrices + kNorms;

TEST(StepTrace, has_the_arithmetic_that_pytorch_counts) {
  const nlohmann::json golden = test::golden_json("flops.json");
  for (const char* family : {"llama", "gpt2"}) {
    const RoleStep step = step_of(recipe_with("", "model_type: " + std::string(family) + ", "));
    EXPECT_EQ(products(step) + 6.0 * kEmbedding * kTexts, golden[family]["matmul"].get<double>())
        << family;
    // PyTorch counts every query with every key; a causal mask lets (n + 1) / 2n of the pairs
    // through.
    const double length = golden["length"];
    EXPECT_DOUBLE_EQ(operations(step, KernelWork::Kind::kAttention),
                     golden[family]["attention"].get<double>() * (length + 1) / (2 * length))
        << family;
  }
}

TEST(StepTrace, has_six_operations_for_each_matrix_element_and_token) {
  const RoleStep step = step_with("");
  EXPECT_EQ(products(step), 6.0 * (2 * kBlock * kTokens + kEmbedding * kTargets));
  EXPECT_EQ(step.tokens, kTokens);
  // The model's formula counts norms too, and all pairs of attention.
  EXPECT_DOUBLE_EQ(step.flops_per_token, 6.0 * kParameters + 6.0 * 2 * 64 * 16);
  for (const int stage : {0, 1})
    EXPECT_DOUBLE_EQ(
        step_with(", micro_batch_size: 4, layout: {pipeline_parallel: 2}", stage).flops_per_token,
        step.flops_per_token);
}

TEST(StepTrace, recomputation_adds_a_forward_of_the_blocks) {
  EXPECT_EQ(products(step_with(", recompute: full")) - products(step_with("")),
            2.0 * 2 * kBlock * kTokens);
}

TEST(StepTrace, ranks_divide_the_arithmetic) {
  const double whole = products(step_with(""));
  EXPECT_EQ(products(step_with(", micro_batch_size: 4, layout: {data_parallel: 2}")), whole / 2);
  EXPECT_EQ(products(step_with(", layout: {tensor_parallel: 2}")), whole / 2);
  // The first rank has the first and the last quarter of a text.
  EXPECT_EQ(products(step_with(", layout: {context_parallel: 2}")),
            6.0 * (kBlock * kTokens + kEmbedding * (kTokens / 2 - kTexts)));
  const std::string pipeline = ", micro_batch_size: 4, layout: {pipeline_parallel: 2}";
  EXPECT_EQ(products(step_with(pipeline, 0)) + products(step_with(pipeline, 1)), whole);
  EXPECT_LT(products(step_with(pipeline, 0)), products(step_with(pipeline, 1)))
      << "the last stage has the output matrix";
}

TEST(StepTrace, copies_add_up_gradients_once_a_step) {
  using Op = OperationKind;
  const auto of = [](const std::string& zero) {
    return traffic(
        step_with(", micro_batch_size: 2, layout: {data_parallel: 2, zero_stage: " + zero + "}"));
  };
  auto whole = of("0");
  EXPECT_EQ((whole[{"dp", Op::kAllReduce}]), 4 * kParameters);
  auto divided = of("1");  // norms stay whole
  EXPECT_EQ((divided[{"dp", Op::kReduceScatter}]), 4 * kMatrices);
  EXPECT_EQ((divided[{"dp", Op::kAllGather}]), 4 * kMatrices);
  EXPECT_EQ((divided[{"dp", Op::kAllReduce}]), 4 * kNorms);
  // The matrices' gradients in each of two micro-batches.
  EXPECT_EQ((of("2")[{"dp", Op::kReduceScatter}]), 2 * 4 * kMatrices);
}

TEST(StepTrace, divided_blocks_are_brought_together_when_they_are_used) {
  const Recipe recipe =
      recipe_with(", micro_batch_size: 2, layout: {data_parallel: 2, zero_stage: 3}",
                  "model_type: llama, ", {"model.num_hidden_layers=8"});
  // Two of eight are there where the direction turns: 8 + 6 forward and backward, then 6 + 6.
  EXPECT_EQ((traffic(step_of(recipe))[{"dp", OperationKind::kAllGather}]),
            4 * (26 * kBlock + kEmbedding));
}

TEST(StepTrace, tensor_parallel_ranks_sum_twice_in_each_block_and_direction) {
  constexpr std::int64_t kStream = 4 * kTokens * 64;  // bytes of the residual stream
  auto sums = traffic(step_with(", layout: {tensor_parallel: 2}"));
  // Two of a block in each direction, the embedding's; the output's and the loss's statistics.
  EXPECT_EQ((sums[{"tp", OperationKind::kAllReduce}]),
            (2 * 2 * 2 + 1) * kStream + 4 * kTargets * (64 + 1 + 3));
}

TEST(TimePlan, a_pipeline_is_looked_at_once_for_every_kind_of_stage) {
  const Recipe recipe = recipe_with(", micro_batch_size: 1, layout: {pipeline_parallel: 2}");
  MemoryPlanner planner(recipe);
  const StageTime time = plan_time(planner, recipe.stages[0], find_device("h100"));
  ASSERT_EQ(time.roles.size(), 1u);
  EXPECT_EQ(time.peak, planner.plan(recipe.stages[0]).peak_of_a_rank());
  EXPECT_EQ(time.roles[0].tokens, kTokens);
  EXPECT_GT(time.roles[0].step.bubble, 0);
  EXPECT_LT(time.roles[0].step.bubble, time.roles[0].step.seconds / 2);
}

Recipe large_recipe(const std::string& keys, std::int64_t ranks) {
  return parse_recipe(
      "name: plan\nrun_dir: /nowhere\nprecision: bf16\ntokenizer_from: nowhere\n"
      "model: {hidden_size: 8192, intermediate_size: 28672, num_hidden_layers: 80, "
      "num_attention_heads: 64, num_key_value_heads: 8, max_position_embeddings: 8192, "
      "vocab_size: 128256, tie_word_embeddings: false}\n"
      "stages:\n"
      "  - pretrain: {data: text.txt, steps: 1, global_batch_size: 2048, sequence_length: 8192, "
      "micro_batch_size: 1, samples: {count: 0}" +
          keys + "}\n",
      "plan.yaml", {}, ranks);
}

TEST(TimePlan, plans_70_billion_parameters_on_4096_ranks) {
  const Recipe recipe = large_recipe(
      ", layout: {sequence_parallel: true, pipeline_parallel: 8, tensor_parallel: 8, zero_stage: "
      "1}",
      4096);
  MemoryPlanner planner(recipe);
  DeviceModel h100 = find_device("h100");
  const RoleTime within = plan_time(planner, recipe.stages[0], h100).roles.at(0);
  h100.ranks_per_node = 4;
  const RoleTime across = plan_time(planner, recipe.stages[0], h100).roles.at(0);
  EXPECT_EQ(within.ranks, 4096);
  EXPECT_EQ(within.tokens, 2048 * 8192);
  EXPECT_GT(within.mfu, 0.15);
  EXPECT_LT(within.mfu, 0.6);
  EXPECT_GT(within.tokens_per_second(), across.tokens_per_second())
      << "matrices that are divided over nodes are slow";
}

RoleTime time_of(const Recipe& recipe) {
  MemoryPlanner planner(recipe);
  return plan_time(planner, recipe.stages[0], find_device("h100")).roles.at(0);
}

// One H100, bf16, 1,024 tokens in a text: what llmq, a native trainer, publishes.
TEST(TimePlan, lies_near_what_is_published_for_one_h100) {
  const std::map<std::string, double> published = {{"qwen2.5-0.5b", 149e3},
                                                   {"qwen2.5-1.5b", 58.7e3}};
  for (const auto& [name, tokens_per_second] : published) {
    const RoleTime time = time_of(
        parse_recipe("name: plan\nrun_dir: /nowhere\nprecision: bf16\ntokenizer_from: nowhere\n"
                     "model: {from: bench/models/" +
                         name +
                         "}\n"
                         "stages:\n"
                         "  - pretrain: {data: text.txt, steps: 1, global_batch_size: 512, "
                         "micro_batch_size: 16, "
                         "sequence_length: 1024, samples: {count: 0}}\n",
                     "plan.yaml", {}, 1));
    EXPECT_GT(time.tokens_per_second(), 0.75 * tokens_per_second) << name;
    EXPECT_LT(time.tokens_per_second(), 1.1 * tokens_per_second) << name;
  }
}

// Llama-3.1 8B on eight H100, texts of 8,192 tokens: torchtitan's 5,762 tokens per second and card
// as it is, 6,667 compiled. A roofline knows no clock that falls under load, nor Python.
TEST(TimePlan, lies_near_what_is_published_for_eight_h100) {
  const RoleTime time = time_of(parse_recipe(
      "name: plan\nrun_dir: /nowhere\nprecision: bf16\ntokenizer_from: nowhere\n"
      "model: {hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32, "
      "num_attention_heads: 32, num_key_value_heads: 8, max_position_embeddings: 8192, "
      "vocab_size: 128256, tie_word_embeddings: false}\n"
      "stages:\n"
      "  - pretrain: {data: text.txt, steps: 1, global_batch_size: 8, sequence_length: 8192, "
      "layout: {zero_stage: 3}, samples: {count: 0}}\n",
      "plan.yaml", {}, 8));
  EXPECT_GT(time.tokens_per_second() / 8, 5762 / 1.5);
  EXPECT_LT(time.tokens_per_second() / 8, 6667 * 1.6);
}

TEST(TimePlan, is_shown_as_a_table) {
  const Recipe recipe = recipe_with(", micro_batch_size: 4, layout: {data_parallel: 2}");
  MemoryPlanner planner(recipe);
  const std::string text =
      render({plan_time(planner, recipe.stages[0], find_device("h100"))}, find_device("h100"));
  EXPECT_THAT(text, HasSubstr("updates on h100"));
  EXPECT_THAT(text, HasSubstr("pretrain                dp2                      2"));
  EXPECT_EQ(render({StageTime{.stage = "tokenizer"}}, find_device("h100")), "");
}

// The demo's PPO: 64 prompts of 16 tokens, responses of 32, minibatches of all, four epochs.
Recipe ppo_recipe(const std::vector<std::string>& overrides = {}) {
  return load_recipe("recipes/rlhf.yaml", overrides, 8);
}
const Stage& ppo_stage(const Recipe& recipe) {
  return *std::ranges::find(recipe.stages, "ppo", &Stage::name);
}
StageTime ppo_time(const std::vector<std::string>& overrides, const DeviceModel& device) {
  const Recipe recipe = ppo_recipe(overrides);
  MemoryPlanner planner(recipe);
  return plan_time(planner, ppo_stage(recipe), device);
}

double products(const RoleUse& use) {
  double sum = 0;
  for (const StepTrace::Event& event : use.trace.events)
    if (const auto* work = std::get_if<KernelWork>(&event);
        work != nullptr && work->kind == KernelWork::Kind::kMatmul)
      sum += static_cast<double>(use.times) * work->operations;
  return sum;
}

TEST(IterationTime, has_the_arithmetic_of_sampling_and_scoring) {
  const Recipe recipe = ppo_recipe();
  const StageMemory plan = MemoryPlanner(recipe).plan_with_steps(ppo_stage(recipe), 0);
  // Of the model: four blocks, and a vocabulary that the tokenizer may make.
  constexpr double kHidden = 192, kVocabulary = 4096, kPrompts = 64, kPrompt = 16, kResponse = 32;
  constexpr double kBlocks =
      4 * (kHidden * (kHidden + 2 * 64) + kHidden * kHidden + 3 * kHidden * 512);
  // Two replicas of two ranks each; the last response token is not read again.
  const RoleUse& sampling = plan.roles.at(0).uses.at(0);
  EXPECT_EQ(sampling.what, "sampling");
  EXPECT_DOUBLE_EQ(
      products(sampling),
      2 * kPrompts / 4 * (kBlocks * (kPrompt + kResponse - 1) + kVocabulary * kHidden * kResponse));
  const double whole = 2 * kPrompts * (kPrompt + kResponse) * kBlocks,
               outputs = 2 * kPrompts * kResponse * kVocabulary * kHidden;
  EXPECT_DOUBLE_EQ(products(plan.roles.at(0).uses.at(1)), (whole + outputs) / 4);
  // A role takes so many texts at a time that 64 are one call with room left.
  constexpr double kRoom = 85.0 / 64;
  const RoleMemory &critic = plan.roles.at(1), &reference = plan.roles.at(2),
                   &reward = plan.roles.at(3);
  EXPECT_DOUBLE_EQ(products(reference.uses.at(0)), kRoom * (whole + outputs));
  EXPECT_DOUBLE_EQ(products(critic.uses.at(0)), kRoom * (whole + 2 * kPrompts * kHidden));
  EXPECT_DOUBLE_EQ(products(reward.uses.at(0)), kRoom * (whole / 2 + 2 * kPrompts * kHidden));
}

TEST(IterationTime, waits_for_the_longest_role_or_for_all_in_turn) {
  const DeviceModel h100 = find_device("h100");
  const StageTime apart = ppo_time({}, h100);
  ASSERT_TRUE(apart.iteration);
  EXPECT_EQ(apart.iteration->ranks, 8);
  EXPECT_EQ(apart.iteration->tokens, 64 * 48);
  const auto seconds = [](const StageTime& time, std::size_t role) {
    return time.roles.at(role).step.seconds;
  };
  EXPECT_DOUBLE_EQ(apart.iteration->updates, 4 * std::max(seconds(apart, 0), seconds(apart, 1)));
  const StageTime shared = ppo_time({"ppo.placement.shared=true"}, h100);
  EXPECT_EQ(shared.iteration->ranks, 4);
  EXPECT_DOUBLE_EQ(shared.iteration->updates, 4 * (seconds(shared, 0) + seconds(shared, 1)));
  EXPECT_GT(shared.iteration->scoring, apart.iteration->scoring);
  EXPECT_DOUBLE_EQ(shared.iteration->sampling, apart.iteration->sampling);
  EXPECT_THAT(render({apart}, h100), HasSubstr("iterations on h100"));
}

// Eight ranks on two cores: while four sample, each has twice the share of a core.
TEST(IterationTime, roles_leave_cores_to_each_other) {
  DeviceModel cores = find_device("h100");
  const double alone = ppo_time({}, cores).iteration->sampling;
  cores.ranks_per_core = 4;
  EXPECT_DOUBLE_EQ(ppo_time({}, cores).iteration->sampling, alone / 2);
}

// The policy's forward and backward, in which logits are computed twice, and the reference's
// forward.
TEST(StepTrace, has_the_reference_of_dpo) {
  const Recipe recipe = parse_recipe(
      "name: plan\nrun_dir: /nowhere\nprecision: fp32\n"
      "model: {from: bench/models/gpt2-124m}\n"
      "stages:\n"
      "  - dpo: {data: pairs.jsonl, steps: 1, global_batch_size: 4, micro_batch_size: 4, "
      "sequence_length: 16, samples: {count: 0}}\n",
      "plan.yaml", {}, 1);
  constexpr double kTexts = 2 * 4, kTokens = 16 * kTexts, kTargets = kTokens - kTexts;
  constexpr double kBlocks = 12 * 12 * 768.0 * 768, kOutput = 50257 * 768.0;
  EXPECT_DOUBLE_EQ(products(step_of(recipe)),
                   (6 + 2) * kBlocks * kTokens + (8 + 2) * kOutput * kTargets);
}

TEST(FormatSeconds, has_three_digits) {
  EXPECT_EQ(format_seconds(12.34), "12.3 s");
  EXPECT_EQ(format_seconds(0.01234), "12.3 ms");
  EXPECT_EQ(format_seconds(2e-6), "2 us");
}

}  // namespace
}  // namespace tandem::launcher
