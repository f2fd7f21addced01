// The same model under every layout trains to the same loss as on one rank: twenty fp32 steps, with
// and without accumulation and recomputation. Rank 0 trains the single-rank control and tells the
// others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/sampler.h"
#include "tests/support/error_of.h"
#include "tests/support/mpi_main.h"
#include "tests/support/tiny_training.h"

namespace tandem {
namespace {

using parallel::LayoutConfig;
using test::error_of;
using ::testing::HasSubstr;

LayoutConfig layout(std::int64_t dp, std::int64_t tp, std::int64_t zero = 0) {
  return {.data_parallel = dp, .tensor_parallel = tp, .zero_stage = zero};
}

LayoutConfig pipeline(std::int64_t pp, LayoutConfig layout = {}, std::int64_t chunks = 1) {
  layout.pipeline_parallel = pp;
  layout.virtual_stages = chunks;
  return layout;
}

LayoutConfig gpipe(LayoutConfig layout) {
  layout.pipeline_schedule = parallel::ScheduleKind::kGPipe;
  return layout;
}

std::vector<LayoutConfig> layouts_for(int ranks) {
  switch (ranks) {
    case 1:
      return {layout(1, 1)};
    case 2:
      return {layout(2, 1), layout(1, 2),       layout(2, 1, 1),    layout(2, 1, 2),
              pipeline(2),  gpipe(pipeline(2)), pipeline(2, {}, 2), gpipe(pipeline(2, {}, 2))};
    case 3:
      return {layout(3, 1), layout(3, 1, 2), pipeline(3)};
    case 4:
      return {layout(2, 2),
              layout(4, 1),
              layout(1, 4),
              layout(2, 2, 1),
              layout(4, 1, 2),
              pipeline(4),
              pipeline(2, layout(1, 2)),
              pipeline(2, layout(2, 1)),
              pipeline(2, layout(2, 1, 1)),
              pipeline(2, layout(2, 1, 2), 2)};
    case 8:
      return {layout(4, 2), layout(2, 4), layout(4, 2, 2), pipeline(2, layout(2, 2)),
              pipeline(4, layout(2, 1, 2))};
  }
  return {};
}

// 16, or the nearest that divides by the data-parallel ranks.
std::int64_t global_batch_for(const LayoutConfig& l) {
  return 16 / l.data_parallel * l.data_parallel;
}

void broadcast(std::vector<double>& values) {
  auto tensor =
      runtime::Tensor::from(values, runtime::Shape{static_cast<std::int64_t>(values.size())});
  test::world().broadcast(tensor, 0, "control").wait();
  values = tensor.to_vector<double>();
}

// Five do not divide evenly over a pipeline.
std::int64_t layers_for(const LayoutConfig& l) {
  return l.pipeline_parallel > 1 ? 5 : 2;
}

const test::TrainingTrace& control_of(std::int64_t global_batch_size, std::int64_t layers) {
  static std::map<std::pair<std::int64_t, std::int64_t>, test::TrainingTrace> controls;
  const auto [entry, is_new] = controls.try_emplace({global_batch_size, layers});
  test::TrainingTrace& control = entry->second;
  if (!is_new) return control;
  const test::TrainingCase setup{.global_batch_size = global_batch_size,
                                 .micro_batch_size = global_batch_size,
                                 .layers = layers};
  if (test::world().rank() == 0) control = test::train_tiny(parallel::single_rank_mesh(), setup);
  for (std::vector<double>* curve : {&control.losses, &control.grad_norms}) {
    curve->resize(setup.steps);
    broadcast(*curve);
  }
  return control;
}

TEST(Layouts, train_to_the_loss_of_one_rank) {
  const auto layouts = layouts_for(test::world().size());
  ASSERT_FALSE(layouts.empty()) << "no layouts are listed for " << test::world().size() << " ranks";
  for (const LayoutConfig& l : layouts) {
    const std::int64_t global = global_batch_for(l);
    const test::TrainingTrace& control = control_of(global, layers_for(l));
    EXPECT_LT(control.losses.back(), 0.95 * control.losses.front()) << "the control does not learn";
    const parallel::Mesh mesh = parallel::make_mesh(l, test::world());
    const std::int64_t own = global / l.data_parallel;
    const std::int64_t most = l.pipeline_parallel > 1 ? own / 2 : own;
    for (const std::int64_t micro : {most, most % 2 == 0 ? most / 2 : 1}) {
      for (const bool recompute : {false, true}) {
        const auto trace = test::train_tiny(mesh, {.global_batch_size = global,
                                                   .micro_batch_size = micro,
                                                   .recompute = recompute,
                                                   .layers = layers_for(l)});
        EXPECT_LE(test::worst_difference(trace.losses, control.losses), 1e-5)
            << l.str() << " micro_batch_size " << micro << " recompute " << recompute;
        EXPECT_LE(test::worst_difference(trace.grad_norms, control.grad_norms), 1e-4)
            << l.str() << " micro_batch_size " << micro << " recompute " << recompute;
      }
    }
  }
}

TEST(Layouts, bf16_stays_near_fp32) {
  for (const LayoutConfig& l : layouts_for(test::world().size())) {
    const parallel::Mesh mesh = parallel::make_mesh(l, test::world());
    const std::int64_t global = global_batch_for(l);
    const auto trace = test::train_tiny(mesh, {.global_batch_size = global,
                                               .micro_batch_size = global / l.data_parallel / 2,
                                               .compute = runtime::DType::kBF16,
                                               .layers = layers_for(l)});
    EXPECT_LE(test::worst_difference(trace.losses, control_of(global, layers_for(l)).losses), 0.03)
        << l.str();
  }
}

// Bytes of each parameter on each of two replicas, with moments 8, masters and gradients 4, and 2
// for what kernels compute with.
TEST(Layouts, replicas_divide_optimizer_state_and_gradients) {
  if (test::world().size() != 2) GTEST_SKIP() << "for two ranks";
  const auto bytes = [](std::int64_t zero) {
    const parallel::Mesh mesh = parallel::make_mesh(layout(2, 1, zero), test::world());
    return static_cast<double>(
        test::train_tiny(mesh, {.steps = 2, .compute = runtime::DType::kBF16}).resident_bytes);
  };
  const double whole = bytes(0);
  EXPECT_NEAR(bytes(1) / whole, (2 + 4 + 12 / 2.0) / 18, 0.01);
  EXPECT_NEAR(bytes(2) / whole, (2 + 16 / 2.0) / 18, 0.01);
}

// Three ranks divide neither the batch of 16 nor the 8 heads.
TEST(Layouts, what_does_not_divide_is_refused_with_the_reason) {
  if (test::world().size() != 3) GTEST_SKIP() << "for three ranks";
  EXPECT_THAT(error_of([] { data::validate_batch_sizes(16, 1, 3); }),
              HasSubstr("global_batch_size 16 does not divide by 3 data-parallel shards"));
  const parallel::Mesh mesh = parallel::make_mesh(layout(1, 3), test::world());
  EXPECT_THAT(error_of([&] {
                models::BuildOptions options;
                options.tp = mesh.tp;
                models::make_llama(test::tiny_config(), options);
              }),
              HasSubstr("tensor_parallel 3"));
}

}  // namespace
}  // namespace tandem
