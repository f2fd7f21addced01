// Numbers of 16 and 8 bits under every way to divide a model: fp16 with its loss scale, gradients
// that travel in bf16, weights without fp32 masters. Rank 0 trains the fp32 control on its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runtime/io/safetensors.h"
#include "tests/support/mpi_main.h"
#include "tests/support/tiny_training.h"

namespace tandem {
namespace {

using parallel::LayoutConfig;
using runtime::DType;
using test::TrainingCase;
using test::TrainingTrace;

std::vector<LayoutConfig> layouts_for(int ranks) {
  if (ranks == 1) return {LayoutConfig{}};
  if (ranks == 2)
    return {{.data_parallel = 2},
            {.tensor_parallel = 2},
            {.tensor_parallel = 2, .sequence_parallel = true},
            {.data_parallel = 2, .zero_stage = 1},
            {.data_parallel = 2, .zero_stage = 2},
            {.data_parallel = 2, .zero_stage = 3},
            {.pipeline_parallel = 2}};
  return {{.data_parallel = 2, .tensor_parallel = 2, .zero_stage = 2},
          {.data_parallel = 4, .zero_stage = 1, .zero_group_size = 2},
          {.pipeline_parallel = 2, .data_parallel = 2, .zero_stage = 3}};
}

TrainingTrace train(const LayoutConfig& l, TrainingCase setup) {
  setup.micro_batch_size = setup.global_batch_size / l.data_parallel / 2;
  return test::train_tiny(parallel::make_mesh(l, test::world()), setup);
}

// Losses of one rank on its own, which all ranks get.
std::vector<double> losses_alone(const TrainingCase& setup) {
  std::vector<double> losses(static_cast<std::size_t>(setup.steps));
  if (test::world().rank() == 0)
    losses = test::train_tiny(parallel::single_rank_mesh(), setup).losses;
  auto tensor = runtime::Tensor::from(losses, {setup.steps});
  test::world().broadcast(tensor, 0, "control").wait();
  return tensor.to_vector<double>();
}

TEST(Fp16, trains_near_fp32) {
  const std::vector<double> control = losses_alone({});
  EXPECT_LT(control.back(), 0.95 * control.front()) << "the control does not learn";
  for (const LayoutConfig& l : layouts_for(test::world().size())) {
    const TrainingTrace trace = train(l, {.compute = DType::kF16});
    EXPECT_EQ(std::ranges::count(trace.skipped, true), 0) << l.str();
    EXPECT_LE(test::worst_difference(trace.losses, control), 0.005) << l.str();
  }
}

// A scale with which gradients overflow at first: every rank leaves the same updates out, weights
// stay, and training goes on from there.
TEST(Fp16, an_overflow_leaves_the_update_out_on_every_rank) {
  for (const LayoutConfig& l : layouts_for(test::world().size())) {
    const TrainingTrace trace =
        train(l, {.compute = DType::kF16, .engine = {.loss_scale = {.initial = 0x1p27}}});
    const auto skipped = std::ranges::count(trace.skipped, true);
    EXPECT_GE(skipped, 2) << l.str();
    EXPECT_LE(skipped, 12) << l.str();
    EXPECT_LT(trace.losses.back(), 0.97 * trace.losses.front()) << l.str();
    for (std::size_t step = 0; step < trace.skipped.size(); ++step) {
      EXPECT_NE(std::isfinite(trace.grad_norms[step]), trace.skipped[step]) << l.str();
      const auto count = test::world().all_reduce_scalar(std::int64_t{trace.skipped[step]},
                                                         parallel::ReduceOp::kSum, "skipped");
      EXPECT_TRUE(count == 0 || count == test::world().size()) << "step " << step << " " << l.str();
    }
  }
}

TEST(GradientReduction, in_bf16_trains_near_fp32) {
  const std::vector<double> control = losses_alone({});
  for (const LayoutConfig& l : layouts_for(test::world().size())) {
    const TrainingTrace trace = train(l, {.engine = {.gradient_reduce_dtype = DType::kBF16}});
    const double difference = test::worst_difference(trace.losses, control);
    EXPECT_LE(difference, 0.005) << l.str();
    if (l.data_parallel > 1) {
      EXPECT_GT(difference, 1e-6) << "nothing was rounded: " << l.str();
    }
  }
}

TEST(WithoutMasters, stochastic_rounding_trains_near_bf16_with_masters) {
  const std::vector<double> control = losses_alone({.compute = DType::kBF16});
  for (const LayoutConfig& l : layouts_for(test::world().size())) {
    const TrainingTrace trace = train(l, {.compute = DType::kBF16, .master_weights = false});
    EXPECT_LE(test::worst_difference(trace.losses, control), 0.03) << l.str();
  }
}

// Replicas that divide state draw what one that holds it all draws. (In more steps, sums of
// gradients in another order show.)
TEST(WithoutMasters, zero_stages_round_alike) {
  if (test::world().size() != 2) GTEST_SKIP() << "for two ranks";
  const TrainingCase setup{.steps = 6, .compute = DType::kBF16, .master_weights = false};
  const TrainingTrace whole = train({.data_parallel = 2}, setup);
  for (const std::int64_t stage : {1, 2, 3}) {
    const TrainingTrace divided = train({.data_parallel = 2, .zero_stage = stage}, setup);
    EXPECT_LE(test::worst_difference(divided.losses, whole.losses), 1e-6) << "stage " << stage;
  }
}

// Bytes of a parameter: weights 2, gradient 4, moments 8; masters would be 4 more.
TEST(WithoutMasters, take_the_masters_memory_away) {
  if (test::world().size() > 2) GTEST_SKIP() << "for one or two ranks";
  const auto bytes = [](bool master_weights, std::int64_t zero) {
    const LayoutConfig l{.data_parallel = test::world().size(), .zero_stage = zero};
    return static_cast<double>(
        train(l, {.steps = 2, .compute = DType::kBF16, .master_weights = master_weights})
            .resident_bytes);
  };
  EXPECT_NEAR(bytes(false, 0) / bytes(true, 0), 14.0 / 18, 0.005);
  if (test::world().size() == 2) {
    EXPECT_NEAR(bytes(false, 1) / bytes(true, 0), (2 + 4 + 8 / 2.0) / 18, 0.01);
    EXPECT_NEAR(bytes(false, 2) / bytes(true, 0), (2 + 12 / 2.0) / 18, 0.01);
  }
}

// Whatever the layout, every product has the same scales. Without other roundings than those to
// codes losses then differ by sums in another order, and by codes at whose border they fall.
TEST(Fp8, every_layout_has_the_scales_and_losses_of_one_rank) {
  const TrainingCase setup{.fp8 = runtime::Fp8Options{}};
  const std::vector<double> control = losses_alone(setup);
  EXPECT_LT(control.back(), 0.95 * control.front()) << "the control does not learn";
  for (const LayoutConfig& l : layouts_for(test::world().size()))
    EXPECT_LE(test::worst_difference(train(l, setup).losses, control), 0.003) << l.str();
}

// Under current scaling a micro-batch has scales of its own, as a replica has.
TEST(Fp8, current_scaling_trains_near_one_rank) {
  const TrainingCase setup{.fp8 = runtime::Fp8Options{.scaling = runtime::Fp8Scaling::kCurrent}};
  const std::vector<double> control = losses_alone(setup);
  for (const LayoutConfig& l : layouts_for(test::world().size()))
    EXPECT_LE(test::worst_difference(train(l, setup).losses, control),
              l.data_parallel > 1 || l.pipeline_parallel > 1 ? 0.02 : 0.01)
        << l.str();
}

TEST(Fp8, scales_of_one_layout_load_under_any) {
  const TrainingCase setup{.steps = 3, .fp8 = runtime::Fp8Options{}};
  std::string state;
  if (test::world().rank() == 0)
    state = test::train_tiny(parallel::single_rank_mesh(), setup).state;
  state = test::world().broadcast_string(state, 0, "control");
  for (const LayoutConfig& l : layouts_for(test::world().size())) {
    const auto mesh = parallel::make_mesh(l, test::world());
    train::Engine engine(
        test::tiny_config_of(setup.kind, setup.layers)->make(test::tiny_options(mesh, setup)), mesh,
        {});
    train::StateRegistry registry;
    engine.register_state(registry);
    registry.load(state, "control");
    EXPECT_EQ(registry.save(), state) << l.str();
    for (const float scale : engine.model().parameters().delayed_scales().scales.to_vector<float>())
      EXPECT_NE(scale, 1.0f) << l.str();
  }
}

TEST(Fp8, trains_near_bf16) {
  const std::vector<double> control = losses_alone({.compute = DType::kBF16});
  for (const auto scaling : {runtime::Fp8Scaling::kDelayed, runtime::Fp8Scaling::kCurrent})
    for (const LayoutConfig& l : layouts_for(test::world().size())) {
      const TrainingTrace trace =
          train(l, {.compute = DType::kBF16, .fp8 = runtime::Fp8Options{.scaling = scaling}});
      EXPECT_LE(test::worst_difference(trace.losses, control), 0.05) << l.str();
    }
}

}  // namespace
}  // namespace tandem
