// Every family against transformers on the same weights: logits, loss, every gradient, twenty
// optimizer steps, generation, and the Hugging Face directory in both directions; on one rank, over
// tensor-parallel ranks and over replicas.
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/context_part.h"
#include "models/generation/generate.h"
#include "models/gpt2/gpt2.h"
#include "models/t5/t5.h"
#include "parallel/data/partial_gradients.h"
#include "runtime/autograd/ops/elementwise.h"
#include "runtime/io/text_file.h"
#include "tests/support/golden_model.h"
#include "tests/support/logical_parameters.h"
#include "tests/support/on_ranks.h"
#include "train/engine.h"
#include "train/objectives.h"

namespace tandem::test {
namespace {

using runtime::DType;
using runtime::SafetensorsFile;
using runtime::Tensor;

SafetensorsFile golden_of(const std::string& name) {
  return SafetensorsFile(golden_path(name + ".safetensors"));
}

models::BuildOptions on(const parallel::Mesh& mesh) {
  models::BuildOptions options;
  options.lay_over(mesh);
  return options;
}

bool has_encoder_and_decoder(const std::string& name) {
  return name.starts_with("t5") || name.starts_with("bart");
}

// The fixtures have two blocks, or two in the encoder and two in the decoder: between which a
// pipeline of two stages is cut, and one of four within each.
std::vector<parallel::LayoutConfig> layouts_for(const std::string& name) {
  std::vector<parallel::LayoutConfig> layouts = {
      {},
      {.tensor_parallel = 2},
      {.data_parallel = 2},
      {.pipeline_parallel = 2},
      {.tensor_parallel = 2, .sequence_parallel = true},
      {.pipeline_parallel = 2, .tensor_parallel = 2, .sequence_parallel = true}};
  if (has_encoder_and_decoder(name)) {
    layouts.push_back({.pipeline_parallel = 4});
    layouts.push_back({.pipeline_parallel = 2, .virtual_stages = 2});
  }
  return layouts;
}

// ---- forward and backward

struct Case {
  std::string name;
  int tensor_parallel = 1;
  bool sequence_parallel = false;
  DType compute = DType::kF32;
  models::Recompute recompute = models::Recompute::kNone;
  double logits_tolerance = 1e-5;
  double gradient_tolerance = 1e-4;
};

std::string title(const testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  constexpr std::array<const char*, 3> kRecompute = {"", "_selective", "_recompute"};
  return fmt::format("{}_tp{}{}{}{}", c.name, c.tensor_parallel, c.sequence_parallel ? "_sp" : "",
                     c.compute == DType::kBF16 ? "_bf16" : "",
                     kRecompute.at(static_cast<std::size_t>(c.recompute)));
}

class FamilyGolden : public testing::TestWithParam<Case> {};

double largest(const Tensor& tensor) {
  double result = 0;
  for (const float value : tensor.to_vector<float>())
    result = std::max(result, std::abs(static_cast<double>(value)));
  return result;
}

// Largest difference, relative to the gradient of this weight or, where that is next to nothing, to
// `floor`: a key's bias has no effect, and its gradient is rounding alone.
void expect_gradient(const std::string& name, const Tensor& actual, const Tensor& expected,
                     double tolerance, double floor) {
  ASSERT_EQ(actual.shape(), expected.shape()) << name;
  double difference = 0;
  const auto a = actual.to_vector<float>(), b = expected.to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - b[i]));
  EXPECT_LE(difference, tolerance * std::max(largest(expected), floor)) << name;
}

void expect_gradients(models::Model& model, const parallel::Mesh& mesh,
                      const SafetensorsFile& golden, double tolerance, double relative_floor) {
  const auto gradients = gathered_gradients(model, mesh);
  if (!mesh.is_first_rank()) return;
  std::set<std::string> missing;
  double largest_of_all = 0;
  for (const auto& info : golden.tensors()) {
    if (!info.name.starts_with("grad/")) continue;
    missing.insert(info.name);
    largest_of_all = std::max(largest_of_all, largest(golden.read(info.name)));
  }
  for (const auto& [name, gradient] : gradients) {
    if (name == "final_logits_bias") continue;  // a constant, of which PyTorch has no gradient
    EXPECT_EQ(missing.erase("grad/" + name), 1u) << name;
    expect_gradient(name, gradient, golden.read("grad/" + name), tolerance,
                    relative_floor * largest_of_all);
  }
  EXPECT_TRUE(missing.empty()) << *missing.begin();
}

TEST_P(FamilyGolden, logits_loss_and_every_gradient_equal_transformers) {
  const Case& param = GetParam();
  const SafetensorsFile golden = golden_of(param.name);
  const GoldenBatch batch = GoldenBatch::read(golden);
  EXPECT_EQ(batch.positions, golden_ints(golden, "positions"));
  const parallel::LayoutConfig layout{.tensor_parallel = param.tensor_parallel,
                                      .sequence_parallel = param.sequence_parallel};
  on_ranks(layout, [&](const parallel::Mesh& mesh) {
    models::BuildOptions options = on(mesh);
    options.precision.compute = param.compute;
    options.activations.recompute = param.recompute;
    const auto model = load_golden_model(param.name, options);
    const Tensor logits = parallel::gathered_logits(model->forward(batch.input()), model->vocab(),
                                                    model->vocab_size());
    EXPECT_TRUE(close("logits", logits, golden.read("logits"), param.logits_tolerance));
    model->parameters().begin_step();
    const double loss = golden_loss(*model, batch, batch.target_count(), true);
    const double expected = golden.read("loss").to_vector<float>()[0];
    EXPECT_NEAR(loss, expected, param.logits_tolerance * expected);
    parallel::sum_partial_gradients(model->parameters());
    expect_gradients(*model, mesh, golden, param.gradient_tolerance,
                     param.compute == DType::kBF16 ? 0.03 : 3e-4);
  });
}

const std::vector<std::string> kNames = {
    "llama_tiny", "llama_tiny_tied", "llama3_rope", "linear_rope", "mistral_tiny",
    "qwen2_tiny", "qwen3_tiny",      "gemma_tiny",  "gpt2_tiny",   "gpt2_untied",
    "bert_tiny",  "t5_tiny",         "t5_gated",    "bart_tiny"};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string& name : kNames) {
    all.push_back({.name = name});
    all.push_back({.name = name, .tensor_parallel = 2});
    all.push_back({.name = name, .tensor_parallel = 2, .sequence_parallel = true});
    for (const auto recompute : {models::Recompute::kSelective, models::Recompute::kFull}) {
      all.push_back(
          {.name = name, .tensor_parallel = 2, .sequence_parallel = true, .recompute = recompute});
      all.push_back({.name = name, .recompute = recompute});
    }
    if (name.starts_with("gpt2") || name.starts_with("t5"))
      all.push_back({.name = name, .tensor_parallel = 4});
    // bf16 keeps 8 bits: errors of single roundings (2^-9) grow with depth.
    all.push_back({.name = name,
                   .compute = DType::kBF16,
                   .logits_tolerance = 0.08,
                   .gradient_tolerance = 0.3});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyGolden, testing::ValuesIn(cases()), title);

// ---- whole models, on each layout

class FamilyDirectory : public testing::TestWithParam<std::string> {};
class FamilyTraining : public testing::TestWithParam<std::string> {};
class FamilyGeneration : public testing::TestWithParam<std::string> {};

// The fixtures with a tensor or file.
std::vector<std::string> names_with(const std::string& tensor) {
  std::vector<std::string> names;
  std::ranges::copy_if(kNames, std::back_inserter(names),
                       [&](const std::string& name) { return golden_of(name).contains(tensor); });
  return names;
}

std::string own_name(const testing::TestParamInfo<std::string>& info) {
  return info.param;
}

INSTANTIATE_TEST_SUITE_P(Families, FamilyDirectory, testing::ValuesIn(kNames), own_name);
INSTANTIATE_TEST_SUITE_P(Families, FamilyTraining, testing::ValuesIn(names_with("train/losses")),
                         own_name);
INSTANTIATE_TEST_SUITE_P(Families, FamilyGeneration,
                         testing::ValuesIn(names_with("generate/prompt0")), own_name);

// This rank's part of texts that ranks divide.
data::Batch part_of(const GoldenBatch& texts, const parallel::Mesh& mesh) {
  TANDEM_CHECK(texts.token_types.empty(), "batches have no token types");
  data::Batch batch;
  static_cast<data::PackedTexts&>(batch) = {texts.tokens, texts.positions, texts.cu_seqlens};
  batch.encoder = {texts.encoder_tokens, texts.encoder_positions, texts.encoder_cu_seqlens};
  batch.targets = texts.targets;
  for (const std::int32_t target : texts.targets) batch.weights.push_back(target >= 0 ? 1 : 0);
  for (std::size_t s = 0; s < batch.chunk_count(); ++s)
    batch.records.push_back(static_cast<std::int64_t>(s));
  return data::context_part(batch, mesh.cp.rank(), mesh.cp.size());
}

void expect_training(const std::string& name, const parallel::Mesh& mesh) {
  const auto json = golden_json(name + ".json")["train"];
  const SafetensorsFile golden = golden_of(name);
  const runtime::AdamWOptions adamw{.beta1 = json["betas"][0],
                                    .beta2 = json["betas"][1],
                                    .eps = json["eps"],
                                    .weight_decay = json["weight_decay"]};
  train::Engine engine(load_golden_model(name, on(mesh)), mesh, adamw);
  const auto losses = golden.read("train/losses").to_vector<float>();
  const auto norms = golden.read("train/grad_norms").to_vector<float>();
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const std::size_t batches = json["batches"];
    const GoldenBatch whole =
        GoldenBatch::read(golden, fmt::format("train/batch{}/", step % batches));
    const GoldenBatch own = whole.part(static_cast<std::size_t>(mesh.dp.rank()),
                                       static_cast<std::size_t>(mesh.dp.size()));
    const std::size_t micro_batches = mesh.layout.pipeline_parallel > 1 ? 2 : 1;
    double loss = 0;
    const auto stats = engine.step(
        static_cast<std::int64_t>(micro_batches),
        [&](std::int64_t i) {
          const GoldenBatch batch = own.part(static_cast<std::size_t>(i), micro_batches);
          loss += mesh.cp.size() == 1
                      ? golden_loss(engine.model(), batch, whole.target_count(), true)
                      : train::token_loss(engine.model(), part_of(batch, mesh),
                                          whole.target_count(), true);
        },
        json["lr"], json["max_norm"]);
    for (const parallel::Group& group : {mesh.replicas, mesh.pp})
      loss = group.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss");
    EXPECT_NEAR(loss, losses[step], 1e-4 * losses[step]) << mesh.layout.str() << " step " << step;
    EXPECT_NEAR(stats.grad_norm, norms[step], 1e-3 * norms[step])
        << mesh.layout.str() << " step " << step;
  }
}

TEST_P(FamilyTraining, twenty_adamw_steps_equal_pytorch_under_every_layout) {
  std::vector<parallel::LayoutConfig> layouts = layouts_for(GetParam());
  if (!golden_of(GetParam()).contains("train/batch0/token_types"))
    for (const parallel::LayoutConfig& layout : std::vector<parallel::LayoutConfig>{
             {.context_parallel = 2},
             {.context_parallel = 3},
             {.pipeline_parallel = 2, .context_parallel = 2},
             {.context_parallel = 2, .tensor_parallel = 2, .sequence_parallel = true}})
      layouts.push_back(layout);
  for (const auto& layout : layouts)
    on_ranks(layout, [&](const parallel::Mesh& mesh) { expect_training(GetParam(), mesh); });
}

TEST_P(FamilyGeneration, greedy_tokens_equal_transformers_with_and_without_a_cache) {
  const SafetensorsFile golden = golden_of(GetParam());
  std::vector<std::vector<std::int32_t>> prompts, expected;
  for (int i = 0; golden.contains(fmt::format("generate/prompt{}", i)); ++i) {
    prompts.push_back(golden_ints(golden, fmt::format("generate/prompt{}", i)));
    expected.push_back(golden_ints(golden, fmt::format("generate/output{}", i)));
  }
  std::vector<std::int64_t> ids(prompts.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto new_tokens = static_cast<std::int64_t>(expected[0].size());
  for (const auto& layout : layouts_for(GetParam())) {
    if (layout.data_parallel > 1) continue;
    on_ranks(layout, [&](const parallel::Mesh& mesh) {
      const auto model = load_golden_model(GetParam(), on(mesh));
      for (const std::int64_t batch_size : {1, 2, 3})
        for (const bool use_cache : {true, false}) {
          const auto results = models::generate(*model, prompts, ids,
                                                {.max_new_tokens = new_tokens,
                                                 .sampling = {.temperature = 0.0f},
                                                 .batch_size = batch_size,
                                                 .use_cache = use_cache});
          for (std::size_t i = 0; i < prompts.size(); ++i)
            EXPECT_EQ(results[i].tokens, expected[i])
                << layout.str() << " batch " << batch_size << " cache " << use_cache;
        }
    });
  }
}

// ---- the Hugging Face directory

void expect_logits(models::Model& model, const SafetensorsFile& golden) {
  const Tensor hidden = model.forward(GoldenBatch::read(golden).input());
  EXPECT_TRUE(close("logits", parallel::gathered_logits(hidden, model.vocab(), model.vocab_size()),
                    golden.read("logits"), 1e-5));
}

TEST_P(FamilyDirectory, saved_directory_holds_what_transformers_wrote) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("tandem_family_dir_{}", getpid());
  const runtime::ShardedSafetensors original(golden_path(GetParam()));
  for (const int tp : {1, 2}) {
    on_ranks({.tensor_parallel = tp}, [&](const parallel::Mesh& mesh) {
      const auto model = load_golden_model(GetParam(), on(mesh));
      train::save_model_directory(*model, mesh, nullptr, folder, DType::kF32);
    });
    const runtime::ShardedSafetensors saved(folder);
    EXPECT_EQ(saved.tensors().size(), original.tensors().size());
    for (const auto& info : original.tensors()) {
      ASSERT_TRUE(saved.contains(info.name)) << info.name;
      EXPECT_EQ(saved.info(info.name).shape, info.shape) << info.name;
      EXPECT_EQ(saved.read(info.name, DType::kF32).to_vector<float>(),
                original.read(info.name, DType::kF32).to_vector<float>())
          << info.name;
    }
    const auto again = models::read_config((folder / "config.json").string())->make({});
    train::load_model_weights(*again, folder);
    expect_logits(*again, golden_of(GetParam()));
    std::filesystem::remove_all(folder);
  }
}

TEST_P(FamilyDirectory, config_of_transformers_4_gives_the_same_model) {
  if (GetParam() == "llama_tiny_tied") return;  // as llama_tiny, which has one
  const auto model = load_golden_model(GetParam(), {}, "config_v4.json");
  expect_logits(*model, golden_of(GetParam()));
}

// ---- what single families have

TEST(Bert, without_a_head_gives_hidden_states_and_pooled_texts) {
  const SafetensorsFile golden = golden_of("bert_tiny");
  const GoldenBatch batch = GoldenBatch::read(golden);
  models::BuildOptions options;
  options.head = models::Head::kHiddenStates;
  const auto model = load_golden_model("bert_tiny", options);
  for (const std::string part : {"weight", "bias"})
    set_parameter(*model, "pooler.dense." + part, golden.read("pooler.dense/" + part));
  const Tensor hidden = model->forward(batch.input());
  EXPECT_TRUE(close("hidden", hidden, golden.read("bare/hidden"), 1e-5));
  std::vector<std::int32_t> first(batch.cu_seqlens.begin(), batch.cu_seqlens.end() - 1);
  const auto count = static_cast<std::int64_t>(first.size());
  const Tensor pooled = model->pooled(runtime::select_rows(hidden, Tensor::from(first, {count})));
  EXPECT_TRUE(close("pooled", pooled, golden.read("bare/pooled"), 1e-5));
}

TEST(T5, buckets_of_distances_equal_transformers) {
  const SafetensorsFile golden = golden_of("ops");
  const auto json = golden_json("ops.json");
  for (const std::string name :
       {"t5_buckets_both", "t5_buckets_causal", "t5_buckets_few", "t5_buckets_few_causal"}) {
    const auto& scalars = json[name];
    const std::int64_t first = scalars["first"];
    const auto rows = golden_ints(golden, name + "/rows");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::int64_t key_minus_query = first + static_cast<std::int64_t>(i);
      EXPECT_EQ(models::relative_position_bucket(-key_minus_query, scalars["bidirectional"],
                                                 scalars["buckets"], scalars["max_distance"]),
                rows[i])
          << name << " " << key_minus_query;
    }
  }
}

// Sizes that real vocabularies have, which no number of ranks divides.
TEST(Gpt2, a_vocabulary_of_50257_is_padded_over_ranks_and_trimmed_in_files) {
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("tandem_gpt2_dir_{}", getpid());
  models::Gpt2Config config;
  config.vocab_size = 50257;
  config.hidden_size = 8;
  config.intermediate_size = 16;
  config.num_hidden_layers = 1;
  config.max_position_embeddings = 8;
  std::vector<float> whole;
  for (const int tp : {1, 2, 4}) {
    on_ranks({.tensor_parallel = tp}, [&](const parallel::Mesh& mesh) {
      const auto model = config.make(on(mesh));
      model->parameters().initialize(3);
      EXPECT_EQ(model->vocab().weight->value.dim(0), (50257 + tp - 1) / tp);
      train::save_model_directory(*model, mesh, nullptr, folder, DType::kF32);
    });
    const runtime::ShardedSafetensors saved(folder);
    EXPECT_EQ(saved.info("transformer.wte.weight").shape, (runtime::Shape{50257, 8}));
    const auto values = saved.read("transformer.wte.weight", DType::kF32).to_vector<float>();
    if (whole.empty()) whole = values;
    EXPECT_EQ(values, whole) << "tp" << tp;
    std::filesystem::remove_all(folder);
  }
}

TEST(Generation, of_an_encoder_is_refused) {
  const auto model = load_golden_model("bert_tiny");
  const std::vector<std::vector<std::int32_t>> prompts = {{5, 6}};
  const std::vector<std::int64_t> ids = {0};
  EXPECT_THROW(models::generate(*model, prompts, ids, {}), runtime::Error);
}

TEST(Generation, sampled_log_probs_equal_the_training_forward) {
  const auto model = load_golden_model("llama_tiny");
  const std::vector<std::vector<std::int32_t>> prompts = {{5, 6, 7}, {9}, {20, 21, 22, 23, 24}};
  const std::vector<std::int64_t> ids = {10, 11, 12};
  const models::GenerateOptions options{
      .max_new_tokens = 12, .sampling = {.temperature = 0.8f}, .seed = 7};
  const auto results = models::generate(*model, prompts, ids, options);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::vector<std::int32_t> tokens = prompts[i];
    tokens.insert(tokens.end(), results[i].tokens.begin(), results[i].tokens.end());
    data::BatchBuilder builder;
    builder.add_completion(tokens, static_cast<std::int64_t>(prompts[i].size()), 0);
    const auto trained = train::with_log_probs(*model, builder.take(), 0.8f);
    ASSERT_EQ(trained.log_probs.size(), results[i].log_probs.size());
    for (std::size_t t = 0; t < trained.log_probs.size(); ++t)
      EXPECT_NEAR(trained.log_probs[t], results[i].log_probs[t], 2e-5);
  }
}

}  // namespace
}  // namespace tandem::test
