// Llama against transformers on the same weights: logits, loss, every gradient, twenty optimizer
// steps, generation, and the Hugging Face directory in both directions.
#include <filesystem>

#include "models/generation/generate.h"
#include "models/llama/llama.h"
#include "parallel/checkpoint/tensors.h"
#include "runtime/io/text_file.h"
#include "tests/support/golden.h"
#include "train/checkpoint.h"
#include "train/engine.h"
#include "train/objectives.h"

namespace tandem {
namespace {

using runtime::DType;
using runtime::SafetensorsFile;
using runtime::Tensor;
using test::close;
using test::golden_path;

struct LoadedModel {
  models::LlamaConfig config;
  std::unique_ptr<models::Model> model;
};

LoadedModel load(const std::string& name, const models::BuildOptions& options) {
  LoadedModel loaded;
  loaded.config = models::read_llama_config((golden_path(name) / "config.json").string());
  loaded.model = models::make_llama(loaded.config, options);
  train::load_model_weights(*loaded.model, golden_path(name));
  return loaded;
}

std::vector<std::int32_t> ints(const SafetensorsFile& file, const std::string& name) {
  return file.read(name, DType::kI32).to_vector<std::int32_t>();
}

// Packed sequences in which every token but the first is predicted from those before it.
data::Batch causal_batch(const std::vector<std::int32_t>& tokens,
                         const std::vector<std::int32_t>& cu_seqlens) {
  data::BatchBuilder builder;
  for (std::size_t i = 0; i + 1 < cu_seqlens.size(); ++i)
    builder.add_completion(
        std::span(tokens).subspan(static_cast<std::size_t>(cu_seqlens[i]),
                                  static_cast<std::size_t>(cu_seqlens[i + 1] - cu_seqlens[i])),
        0, static_cast<std::int64_t>(i));
  return builder.take();
}

struct Case {
  const char* name;
  DType compute;
  bool recompute;
  double logits_tolerance;
  double gradient_tolerance;
};

class LlamaGolden : public testing::TestWithParam<Case> {};

TEST_P(LlamaGolden, logits_loss_and_every_gradient_equal_transformers) {
  const Case& param = GetParam();
  models::BuildOptions options;
  options.precision.compute = param.compute;
  options.recompute = param.recompute;
  LoadedModel loaded = load(param.name, options);
  const SafetensorsFile golden(golden_path(std::string(param.name) + ".safetensors"));
  const data::Batch batch = causal_batch(ints(golden, "tokens"), ints(golden, "cu_seqlens"));
  EXPECT_EQ(batch.positions, ints(golden, "positions"));

  const Tensor hidden = loaded.model->forward(train::to_model_input(batch, {}));
  const Tensor logits =
      parallel::gathered_logits(hidden, loaded.model->vocab(), loaded.model->vocab_size());
  EXPECT_TRUE(close("logits", logits, golden.read("logits"), param.logits_tolerance));

  loaded.model->parameters().begin_step();
  const double loss = train::token_loss(*loaded.model, batch, train::target_weight(batch), true);
  const double expected_loss = golden.read("loss").to_vector<float>()[0];
  EXPECT_NEAR(loss, expected_loss, param.logits_tolerance * expected_loss);

  // Gradients leave through the same door as weights: by logical name, cut out of fused parameters.
  for (const auto& stored : loaded.model->parameters().parameters()) {
    for (std::size_t piece = 0; piece < stored->spec.pieces.size(); ++piece) {
      const std::string& name = stored->spec.pieces[piece].name;
      Tensor slice = Tensor::empty(stored->spec.pieces[piece].shape, DType::kF32);
      parallel::extract_piece(stored->spec, piece, 0, 1, stored->parameter.leaf.grad.span<float>(),
                              slice.span<float>());
      EXPECT_TRUE(close(name, slice, golden.read("grad/" + name), param.gradient_tolerance));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, LlamaGolden,
    testing::Values(Case{"llama_tiny", DType::kF32, false, 1e-5, 1e-4},
                    Case{"llama_tiny", DType::kF32, true, 1e-5, 1e-4},
                    Case{"llama_tiny_tied", DType::kF32, false, 1e-5, 1e-4},
                    // bf16 keeps 8 bits: errors of single roundings (2^-9) grow with depth.
                    Case{"llama_tiny", DType::kBF16, false, 0.03, 0.1}));

TEST(LlamaGoldenTraining, twenty_adamw_steps_equal_pytorch) {
  const auto json = test::golden_json("llama_tiny.json")["train"];
  const SafetensorsFile golden(golden_path("llama_tiny.safetensors"));
  LoadedModel loaded = load("llama_tiny", {});
  const runtime::AdamWOptions adamw{.beta1 = json["betas"][0],
                                    .beta2 = json["betas"][1],
                                    .eps = json["eps"],
                                    .weight_decay = json["weight_decay"]};
  train::Engine engine(std::move(loaded.model), parallel::single_rank_mesh(), adamw);
  const auto losses = golden.read("train/losses").to_vector<float>();
  const auto norms = golden.read("train/grad_norms").to_vector<float>();
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const std::string prefix = fmt::format("train/batch{}/", step % 4);
    const data::Batch batch =
        causal_batch(ints(golden, prefix + "tokens"), ints(golden, prefix + "cu_seqlens"));
    double loss = 0;
    const auto stats = engine.step(
        1,
        [&](std::int64_t) {
          loss = train::token_loss(engine.model(), batch, train::target_weight(batch), true);
        },
        json["lr"], json["max_norm"]);
    EXPECT_NEAR(loss, losses[step], 1e-4 * losses[step]) << "step " << step;
    EXPECT_NEAR(stats.grad_norm, norms[step], 1e-3 * norms[step]) << "step " << step;
  }
}

TEST(LlamaGoldenGeneration, greedy_tokens_equal_transformers) {
  const SafetensorsFile golden(golden_path("llama_tiny.safetensors"));
  LoadedModel loaded = load("llama_tiny", {});
  std::vector<std::vector<std::int32_t>> prompts;
  for (int i = 0; i < 3; ++i) prompts.push_back(ints(golden, fmt::format("generate/prompt{}", i)));
  models::GenerateOptions options{.max_new_tokens = 16, .sampling = {.temperature = 0.0f}};
  const std::vector<std::int64_t> ids = {0, 1, 2};
  for (const std::int64_t batch_size : {1, 2, 3}) {
    options.batch_size = batch_size;
    const auto results = models::generate(*loaded.model, prompts, ids, options);
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(results[static_cast<std::size_t>(i)].tokens,
                ints(golden, fmt::format("generate/output{}", i)))
          << "batch " << batch_size;
  }
}

TEST(LlamaGeneration, sampled_log_probs_equal_the_training_forward) {
  LoadedModel loaded = load("llama_tiny", {});
  const std::vector<std::vector<std::int32_t>> prompts = {{5, 6, 7}, {9}, {20, 21, 22, 23, 24}};
  const std::vector<std::int64_t> ids = {10, 11, 12};
  const models::GenerateOptions options{
      .max_new_tokens = 12, .sampling = {.temperature = 0.8f}, .seed = 7};
  const auto results = models::generate(*loaded.model, prompts, ids, options);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::vector<std::int32_t> tokens = prompts[i];
    tokens.insert(tokens.end(), results[i].tokens.begin(), results[i].tokens.end());
    data::BatchBuilder builder;
    builder.add_completion(tokens, static_cast<std::int64_t>(prompts[i].size()), 0);
    const auto trained = train::with_log_probs(*loaded.model, builder.take(), 0.8f);
    ASSERT_EQ(trained.log_probs.size(), results[i].log_probs.size());
    for (std::size_t t = 0; t < trained.log_probs.size(); ++t)
      EXPECT_NEAR(trained.log_probs[t], results[i].log_probs[t], 2e-5);
  }
}

TEST(LlamaDirectory, saved_weights_read_back_equal_and_hold_the_same_names) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("tandem_llama_dir_{}", getpid());
  LoadedModel loaded = load("llama_tiny", {});
  train::save_model_directory(*loaded.model, parallel::single_rank_mesh(), nullptr, folder,
                              DType::kF32);
  const runtime::ShardedSafetensors original(golden_path("llama_tiny"));
  const runtime::ShardedSafetensors saved(folder);
  ASSERT_EQ(saved.tensors().size(), original.tensors().size());
  for (const auto& info : original.tensors())
    EXPECT_EQ(saved.read(info.name, DType::kF32).to_vector<float>(),
              original.read(info.name, DType::kF32).to_vector<float>())
        << info.name;
  const auto config = models::read_llama_config((folder / "config.json").string());
  EXPECT_EQ(config.num_key_value_heads, loaded.config.num_key_value_heads);
  EXPECT_EQ(config.rope_theta, loaded.config.rope_theta);
  std::filesystem::remove_all(folder);
}

TEST(LlamaConfigFile, both_transformers_versions_read_equal) {
  const auto v5 = models::read_llama_config(golden_path("llama_tiny/config.json").string());
  const auto v4 = models::read_llama_config(golden_path("llama_tiny/config_v4.json").string());
  EXPECT_EQ(v4.rope_theta, v5.rope_theta);
  EXPECT_EQ(v4.hidden_size, v5.hidden_size);
  EXPECT_EQ(v4.rms_norm_eps, v5.rms_norm_eps);
}

TEST(LlamaConfigFile, sizes_that_do_not_divide_are_refused) {
  models::LlamaConfig config;
  config.vocab_size = 100;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 3;
  config.hidden_size = 96;
  try {
    models::validate(config, 2);
    FAIL() << "accepted";
  } catch (const runtime::Error& error) {
    EXPECT_STREQ(error.what(),
                 "model.num_key_value_heads 3 is not divisible by tensor_parallel 2; use a "
                 "tensor_parallel that divides it");
  }
}

}  // namespace
}  // namespace tandem
