// One optimizer step: the global norm and its clipping as torch's clip_grad_norm_, and what is done
// with gradients that are no numbers.
#include "train/engine.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "models/family.h"
#include "tests/support/golden.h"

namespace tandem::train {
namespace {

using runtime::Tensor;

constexpr double kBeta1 = 0.9;

Engine make_engine(runtime::DType compute = runtime::DType::kF32,
                   const EngineOptions& options = {}) {
  models::BuildOptions build;
  build.precision.compute = compute;
  auto model =
      models::read_config((test::golden_path("llama_tiny") / "config.json").string())->make(build);
  model->parameters().initialize(1);
  return Engine(std::move(model), parallel::single_rank_mesh(), {.beta1 = kBeta1}, options);
}

// The buffer of parameter `index`, written from now on in this step.
std::span<float> gradient(Engine& engine, std::size_t index) {
  runtime::Leaf& leaf = engine.model().parameters().parameters()[index]->parameter.leaf;
  runtime::backend_of(leaf.grad).fill(leaf.grad, 0.0f);
  leaf.has_grad = true;
  return leaf.grad.span<float>();
}

class GoldenClipping : public testing::TestWithParam<std::string> {};

// After one step the first moment is (1 − β1)·gradient, so it shows the gradient that was used.
TEST_P(GoldenClipping, norm_and_clipped_gradients_equal_torch) {
  const runtime::SafetensorsFile golden(test::golden_path("optim.safetensors"));
  const double max_norm = test::golden_json("optim.json")[GetParam()]["max_norm"];
  Engine engine = make_engine();
  const auto read = [&](const std::string& name, std::size_t i) {
    return golden.read(GetParam() + "/" + name + std::to_string(i)).to_vector<float>();
  };
  const StepStats stats = engine.step(
      1,
      [&](std::int64_t) {
        for (std::size_t i = 0; i < 3; ++i)
          std::ranges::copy(read("grad", i), gradient(engine, i).begin());
      },
      1e-3, max_norm);
  const double norm = golden.read(GetParam() + "/norm").to_vector<float>()[0];
  EXPECT_NEAR(stats.grad_norm, norm, 1e-6 * norm);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::vector<float> expected = read("clipped", i);
    const std::span<float> moment = engine.optimizer().states()[i].exp_avg.values().span<float>();
    for (std::size_t j = 0; j < expected.size(); ++j)
      EXPECT_NEAR(moment[j], (1 - kBeta1) * expected[j], 1e-6 * std::abs(expected[j]) + 1e-12)
          << "gradient " << i << " element " << j;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenClipping, testing::Values("clip_above", "clip_below"),
                         [](const auto& info) { return info.param; });

TEST(Engine, without_a_limit_nothing_is_clipped) {
  Engine engine = make_engine();
  const StepStats stats = engine.step(
      1, [&](std::int64_t) { gradient(engine, 0)[3] = 1000; }, 1e-3, 0);
  EXPECT_DOUBLE_EQ(stats.grad_norm, 1000);
  EXPECT_FLOAT_EQ(engine.optimizer().states()[0].exp_avg.values().span<float>()[3], 100.0f);
}

TEST(Engine, a_gradient_that_was_not_written_counts_as_zero) {
  Engine engine = make_engine();
  for (const auto& stored : engine.model().parameters().parameters()) {
    runtime::Tensor& grad = stored->parameter.leaf.grad;
    runtime::backend_of(grad).fill(grad, 7.0f);  // left over from an earlier step
  }
  EXPECT_EQ(engine
                .step(
                    1, [](std::int64_t) {}, 1e-3, 1.0)
                .grad_norm,
            0.0);
}

TEST(Engine, a_gradient_that_is_no_number_is_an_error_and_leaves_the_weights_alone) {
  for (const float bad : {NAN, INFINITY}) {
    Engine engine = make_engine();
    const auto before = engine.model().parameters().flat_master().to_vector<float>();
    try {
      engine.step(
          1, [&](std::int64_t) { gradient(engine, 2)[0] = bad; }, 1e-3, 1.0);
      FAIL() << "accepted";
    } catch (const runtime::Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("the gradient of update 1 is not finite"));
    }
    EXPECT_EQ(engine.model().parameters().flat_master().to_vector<float>(), before);
    EXPECT_EQ(engine.optimizer().steps(), 0);
  }
}

Engine make_fp16_engine(double initial) {
  return make_engine(runtime::DType::kF16,
                     {.loss_scale = {.initial = initial, .growth_interval = 2}});
}

TEST(Engine, fp16_leaves_out_an_update_that_overflows_and_lowers_the_scale) {
  Engine engine = make_fp16_engine(1024);
  const auto before = engine.model().parameters().flat_master().to_vector<float>();
  for (const float bad : {INFINITY, NAN}) {
    const StepStats stats = engine.step(
        1, [&](std::int64_t) { gradient(engine, 2)[0] = bad; }, 1e-3, 1.0);
    EXPECT_TRUE(stats.skipped);
  }
  EXPECT_EQ(engine.model().parameters().flat_master().to_vector<float>(), before);
  EXPECT_EQ(engine.optimizer().steps(), 0);
  EXPECT_EQ(engine.steps(), 2);
  EXPECT_EQ(engine.loss_scaler()->scale(), 256);
  EXPECT_EQ(engine.loss_scaler()->skipped(), 2);
}

TEST(Engine, fp16_gradients_are_divided_by_the_scale_that_the_loss_had) {
  Engine engine = make_fp16_engine(512);
  const StepStats stats = engine.step(
      1,
      [&](std::int64_t) {
        EXPECT_EQ(engine.model().loss_scale(), 512);
        gradient(engine, 0)[3] = 1024;
      },
      1e-3, 0);
  EXPECT_FALSE(stats.skipped);
  EXPECT_DOUBLE_EQ(stats.grad_norm, 2);
  EXPECT_FLOAT_EQ(engine.optimizer().states()[0].exp_avg.values().span<float>()[3],
                  static_cast<float>((1 - kBeta1) * 2));
}

TEST(Engine, the_loss_scale_is_state) {
  const auto step = [](Engine& engine, float value) {
    engine.step(
        1, [&](std::int64_t) { gradient(engine, 0)[3] = value; }, 1e-3, 0);
  };
  Engine whole = make_fp16_engine(1024), resumed = make_fp16_engine(8);
  step(whole, INFINITY);
  step(whole, 1);
  StateRegistry saved, loaded;
  whole.register_state(saved);
  resumed.register_state(loaded);
  loaded.load(saved.save(), "state.json");
  step(whole, 1);  // the second good step: the scale grows
  step(resumed, 1);
  EXPECT_EQ(whole.loss_scaler()->scale(), 1024);
  EXPECT_EQ(resumed.loss_scaler()->scale(), 1024);
  EXPECT_EQ(resumed.loss_scaler()->skipped(), 1);
}

TEST(Engine, fp16_does_not_lower_the_scale_forever) {
  Engine engine = make_fp16_engine(1e-6);
  try {
    engine.step(
        1, [&](std::int64_t) { gradient(engine, 2)[0] = NAN; }, 1e-3, 1.0);
    FAIL() << "accepted";
  } catch (const runtime::Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("it is not fp16 that cannot hold it"));
  }
}

}  // namespace
}  // namespace tandem::train
