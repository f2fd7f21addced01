// Adapters against PEFT on the same weights: loss, every gradient, twenty optimizer steps under
// every layout, the model without its adapter, and PEFT's directory in both directions.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/context_part.h"
#include "models/adapters/adapter_directory.h"
#include "runtime/io/text_file.h"
#include "tests/support/error_of.h"
#include "tests/support/golden_model.h"
#include "tests/support/on_ranks.h"
#include "tests/support/tiny_training.h"
#include "train/adapter_files.h"
#include "train/engine.h"
#include "train/objectives.h"

namespace tandem::test {
namespace {

using runtime::DType;
using runtime::SafetensorsFile;
using runtime::Tensor;

const std::vector<std::string> kCases = {"lora_llama", "lora_llama_all", "lora_llama_regex",
                                         "lora_gpt2"};

std::string base_of(const std::string& name) {
  return golden_json(name + ".json")["base"];
}

std::unique_ptr<models::Model> adapted_model(
    const std::string& name, const parallel::Mesh& mesh,
    runtime::QuantFormat quantize = runtime::QuantFormat::kNone) {
  models::BuildOptions options;
  options.lay_over(mesh);
  options.quantize = quantize;
  options.lora = models::read_adapter_config(golden_path(name)).lora;
  auto model = load_golden_model(base_of(name), options);
  train::load_adapter(*model, golden_path(name));
  return model;
}

const std::vector<parallel::LayoutConfig>& layouts() {
  static const std::vector<parallel::LayoutConfig> all = {
      {},
      {.tensor_parallel = 2},
      {.tensor_parallel = 2, .sequence_parallel = true},
      {.data_parallel = 2},
      {.data_parallel = 2, .zero_stage = 1},
      {.data_parallel = 2, .zero_stage = 2},
      {.data_parallel = 2, .zero_stage = 3},
      {.data_parallel = 2, .tensor_parallel = 2, .zero_stage = 1},
      {.pipeline_parallel = 2}};
  return all;
}

class LoraGolden : public testing::TestWithParam<std::string> {};

TEST_P(LoraGolden, loss_and_gradients_equal_peft) {
  const SafetensorsFile golden(golden_path(GetParam() + ".safetensors"));
  const GoldenBatch batch = GoldenBatch::read(golden, "train/batch0/");
  for (const int tp : {1, 2})
    on_ranks({.tensor_parallel = tp}, [&](const parallel::Mesh& mesh) {
      const auto model = adapted_model(GetParam(), mesh);
      const double expected = golden.read("loss").to_vector<float>()[0];
      model->trained_parameters().begin_step();
      EXPECT_NEAR(golden_loss(*model, batch, batch.target_count(), true), expected, 1e-5);
      const auto gradients = gathered_gradients(*model, mesh);
      for (const auto& [gradient, values] : gradients)
        EXPECT_TRUE(close(gradient, values, golden.read("grad/" + gradient), 1e-4));
      const auto count = std::ranges::count_if(
          golden.tensors(), [](const auto& info) { return info.name.starts_with("grad/"); });
      EXPECT_EQ(static_cast<std::int64_t>(gradients.size()), mesh.is_first_rank() ? count : 0);
    });
}

TEST_P(LoraGolden, without_its_adapter_the_model_is_what_it_was) {
  const SafetensorsFile golden(golden_path(GetParam() + ".safetensors"));
  const GoldenBatch batch = GoldenBatch::read(golden, "train/batch0/");
  const auto model = adapted_model(GetParam(), parallel::single_rank_mesh());
  const auto loss = [&] { return golden_loss(*model, batch, batch.target_count(), false); };
  const double with = loss();
  {
    const models::WithoutAdapter frozen(model->adapter());
    EXPECT_NEAR(loss(), golden.read("loss_without").to_vector<float>()[0], 1e-5);
  }
  EXPECT_EQ(loss(), with);
  const auto base = load_golden_model(base_of(GetParam()));
  EXPECT_NEAR(golden_loss(*base, batch, batch.target_count(), false),
              golden.read("loss_without").to_vector<float>()[0], 1e-5);
}

TEST_P(LoraGolden, twenty_adamw_steps_equal_peft_under_every_layout) {
  const SafetensorsFile golden(golden_path(GetParam() + ".safetensors"));
  const auto json = golden_json(GetParam() + ".json")["train"];
  const runtime::AdamWOptions adamw{.beta1 = json["betas"][0],
                                    .beta2 = json["betas"][1],
                                    .eps = json["eps"],
                                    .weight_decay = json["weight_decay"]};
  const auto losses = golden.read("train/losses").to_vector<float>();
  const auto norms = golden.read("train/grad_norms").to_vector<float>();
  for (const auto& layout : layouts())
    on_ranks(layout, [&](const parallel::Mesh& mesh) {
      train::Engine engine(adapted_model(GetParam(), mesh), mesh, adamw);
      for (std::size_t step = 0; step < losses.size(); ++step) {
        const GoldenBatch whole = GoldenBatch::read(
            golden, fmt::format("train/batch{}/", step % json["batches"].get<std::size_t>()));
        const GoldenBatch own = whole.part(static_cast<std::size_t>(mesh.dp.rank()),
                                           static_cast<std::size_t>(mesh.dp.size()));
        double loss = 0;
        const auto stats = engine.step(
            2,
            [&](std::int64_t i) {
              loss += golden_loss(engine.model(), own.part(static_cast<std::size_t>(i), 2),
                                  whole.target_count(), true);
            },
            json["lr"], json["max_norm"]);
        for (const parallel::Group& group : {mesh.dp, mesh.pp})
          loss = group.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss");
        EXPECT_NEAR(loss, losses[step], 1e-4 * losses[step]) << layout.str() << " step " << step;
        EXPECT_NEAR(stats.grad_norm, norms[step], 2e-3 * norms[step])
            << layout.str() << " step " << step;
      }
    });
}

TEST_P(LoraGolden, directory_is_what_peft_wrote_whatever_the_layout) {
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("tandem_adapter_{}", getpid());
  const SafetensorsFile original(golden_path(GetParam()) / "adapter_model.safetensors");
  const models::AdapterConfig config = models::read_adapter_config(golden_path(GetParam()));
  for (const auto& layout : layouts()) {
    std::filesystem::create_directories(folder);
    on_ranks(layout, [&](const parallel::Mesh& mesh) {
      const auto model = adapted_model(GetParam(), mesh);
      train::save_adapter(*model, mesh, folder);
      mesh.world.barrier("saved");
    });
    const SafetensorsFile saved(folder / "adapter_model.safetensors");
    EXPECT_EQ(saved.tensors().size(), original.tensors().size());
    for (const auto& info : original.tensors())
      EXPECT_EQ(saved.read(info.name).to_vector<float>(),
                original.read(info.name).to_vector<float>())
          << layout.str() << " " << info.name;
    const models::AdapterConfig again = models::read_adapter_config(folder);
    EXPECT_EQ(again.lora.rank, config.lora.rank);
    EXPECT_EQ(again.lora.alpha, config.lora.alpha);
    EXPECT_EQ(again.fan_in_fan_out, config.fan_in_fan_out);
    std::filesystem::remove_all(folder);
  }
}

TEST_P(LoraGolden, read_as_a_model_it_is_merged) {
  const SafetensorsFile golden(golden_path(GetParam() + ".safetensors"));
  const GoldenBatch batch = GoldenBatch::read(golden, "train/batch0/");
  for (const int tp : {1, 2})
    on_ranks({.tensor_parallel = tp}, [&](const parallel::Mesh& mesh) {
      models::BuildOptions options;
      options.lay_over(mesh);
      const auto model = load_golden_model(base_of(GetParam()), options);
      train::load_model_weights(*model, golden_path(GetParam()));
      EXPECT_NEAR(golden_loss(*model, batch, batch.target_count(), false),
                  golden.read("loss").to_vector<float>()[0], 1e-5);
    });
}

INSTANTIATE_TEST_SUITE_P(Cases, LoraGolden, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param; });

// ---- quantized models below adapters

TEST(QuantizedLora, every_layout_trains_alike) {
  using runtime::QuantFormat;
  const SafetensorsFile golden(golden_path("lora_llama.safetensors"));
  const GoldenBatch batch = GoldenBatch::read(golden, "train/batch0/");
  const double dense = golden.read("loss").to_vector<float>()[0];
  const auto losses_of = [&](const parallel::LayoutConfig& layout, QuantFormat format) {
    std::vector<double> losses;
    on_ranks(layout, [&](const parallel::Mesh& mesh) {
      train::Engine engine(adapted_model("lora_llama", mesh, format), mesh, {});
      const GoldenBatch own = batch.part(static_cast<std::size_t>(mesh.dp.rank()),
                                         static_cast<std::size_t>(mesh.dp.size()));
      for (int step = 0; step < 5; ++step) {
        double loss = 0;
        engine.step(
            2,
            [&](std::int64_t i) {
              loss += golden_loss(engine.model(), own.part(static_cast<std::size_t>(i), 2),
                                  batch.target_count(), true);
            },
            1e-2, 1.0);
        for (const parallel::Group& group : {mesh.dp, mesh.pp})
          loss = group.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss");
        if (mesh.is_first_rank()) losses.push_back(loss);
      }
    });
    return losses;
  };
  // Rows of 64 and 96: nf4 needs multiples of 64.
  const std::vector<double> alone = losses_of({}, QuantFormat::kInt8);
  EXPECT_NEAR(alone[0], dense, 0.02 * dense);
  EXPECT_NE(alone[0], dense);
  EXPECT_LT(alone.back(), alone.front());
  for (const auto& layout : layouts()) {
    const std::vector<double> losses = losses_of(layout, QuantFormat::kInt8);
    for (std::size_t step = 0; step < losses.size(); ++step)
      EXPECT_NEAR(losses[step], alone[step], 1e-5 * alone[step]) << layout.str();
  }
  EXPECT_THAT(error_of([&] { losses_of({}, QuantFormat::kNf4); }),
              testing::HasSubstr("nf4 stores 64 neighbours with one scale, but a rank's rows have "
                                 "96 elements; use int8"));
}

// ---- refusals

TEST(Lora, targets_that_no_module_answers_to_are_named_with_those_that_there_are) {
  models::BuildOptions options;
  options.lora = {.rank = 2, .target_modules = {"q_proj", "query"}};
  EXPECT_EQ(
      error_of([&] { load_golden_model("llama_tiny", options); }),
      "no module is called 'query'; this model has q_proj, k_proj, v_proj, o_proj, gate_proj, "
      "up_proj, down_proj");
}

TEST(Lora, an_adapter_of_another_model_is_refused) {
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("tandem_other_{}", getpid());
  std::filesystem::copy(golden_path("lora_llama"), folder);
  const auto expect_refused = [&](const std::string& base, const std::string& said) {
    std::string config = runtime::read_text_file(golden_path("lora_llama") / "adapter_config.json");
    config.replace(config.find("\"llama_tiny\""), 12, "\"" + golden_path(base).string() + "\"");
    std::ofstream(folder / "adapter_config.json") << config;
    EXPECT_THAT(error_of([&] { models::open_merged(folder); }), testing::HasSubstr(said));
  };
  expect_refused("llama_tiny_tied",
                 "this is no adapter of " + golden_path("llama_tiny_tied").string());
  expect_refused("gpt2_tiny", "adapts a module that is not there: this is no adapter of");
  expect_refused("nowhere", "the model below this adapter is not there");
  std::filesystem::remove_all(folder);
}

// ---- dropout

// Losses of three updates by an adapter with dropout, and of one evaluation after them.
std::vector<double> losses_with_dropout(const parallel::LayoutConfig& layout, double dropout,
                                        std::int64_t micro_batches = 2,
                                        models::ActivationMemory activations = {}) {
  const SafetensorsFile golden(golden_path("lora_llama_all.safetensors"));
  const GoldenBatch texts = GoldenBatch::read(golden, "train/batch0/");
  const auto count = static_cast<std::int64_t>(texts.cu_seqlens.size()) - 1;
  std::vector<double> losses;
  on_ranks(layout, [&](const parallel::Mesh& mesh) {
    models::BuildOptions options;
    options.lay_over(mesh);
    options.activations = activations;
    options.lora = models::read_adapter_config(golden_path("lora_llama_all")).lora;
    options.lora.dropout = dropout;
    auto model = load_golden_model(base_of("lora_llama_all"), options);
    train::load_adapter(*model, golden_path("lora_llama_all"));
    model->adapter()->set_seed(7);
    train::Engine engine(std::move(model), mesh, {});
    // The i-th of the micro-batches of this replica, or all of its sequences.
    const auto batch = [&](std::int64_t i, std::int64_t parts) {
      data::BatchBuilder builder;
      for (std::int64_t s = mesh.dp.rank() + i * mesh.dp.size(); s < count;
           s += parts * mesh.dp.size()) {
        const auto begin = texts.tokens.begin() + texts.cu_seqlens[static_cast<std::size_t>(s)],
                   end = texts.tokens.begin() + texts.cu_seqlens[static_cast<std::size_t>(s) + 1];
        builder.add_completion({begin, end}, 0, s);
      }
      return data::context_part(builder.take(), mesh.cp.rank(), mesh.cp.size());
    };
    const auto sum = [&](double loss) {
      for (const parallel::Group& group : {mesh.replicas, mesh.pp})
        loss = group.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss");
      if (mesh.is_first_rank()) losses.push_back(loss);
    };
    for (int step = 0; step < 3; ++step) {
      double loss = 0;
      engine.step(
          micro_batches,
          [&](std::int64_t i) {
            loss += train::token_loss(engine.model(), batch(i, micro_batches), 100, true);
          },
          1e-2, 1.0);
      sum(loss);
    }
    sum(train::token_loss(engine.model(), batch(0, 1), 100, false));
  });
  return losses;
}

TEST(LoraDropout, draws_the_same_masks_under_every_layout) {
  const std::vector<double> alone = losses_with_dropout({}, 0.3);
  std::vector<parallel::LayoutConfig> all = layouts();
  all.push_back({.context_parallel = 2});
  for (const auto& layout : all)
    EXPECT_LE(worst_difference(losses_with_dropout(layout, 0.3), alone), 1e-5) << layout.str();
  EXPECT_LE(worst_difference(losses_with_dropout({}, 0.3, 1), alone), 1e-5);
  for (const auto recompute : {models::Recompute::kSelective, models::Recompute::kFull})
    EXPECT_EQ(losses_with_dropout({}, 0.3, 2, {recompute}), alone);
}

TEST(LoraDropout, is_for_training_alone) {
  const std::vector<double> without = losses_with_dropout({}, 0.0),
                            with = losses_with_dropout({}, 0.3);
  for (std::size_t step = 0; step < 3; ++step)
    EXPECT_GT(std::abs(with[step] - without[step]), 1e-4);
  const SafetensorsFile golden(golden_path("lora_llama_all.safetensors"));
  const GoldenBatch batch = GoldenBatch::read(golden, "train/batch0/");
  models::BuildOptions options;
  options.lora = models::read_adapter_config(golden_path("lora_llama_all")).lora;
  options.lora.dropout = 0.3;
  const auto model = load_golden_model(base_of("lora_llama_all"), options);
  train::load_adapter(*model, golden_path("lora_llama_all"));
  EXPECT_NEAR(golden_loss(*model, batch, batch.target_count(), false),
              golden.read("loss").to_vector<float>()[0], 1e-5);
}

}  // namespace
}  // namespace tandem::test
