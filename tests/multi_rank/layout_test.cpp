// The same model under every layout trains to the same loss and weights as on one rank: twenty fp32
// steps of a decoder, an encoder and an encoder-decoder, with and without accumulation and
// recomputation; and takes the memory that is planned for it. Rank 0 trains the single-rank control
// and tells the others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/sampler.h"
#include "runtime/io/safetensors.h"
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

LayoutConfig sequence_parallel(LayoutConfig layout) {
  layout.sequence_parallel = true;
  return layout;
}

LayoutConfig context(std::int64_t cp, LayoutConfig layout = {}) {
  layout.context_parallel = cp;
  return layout;
}

LayoutConfig zero_groups_of(std::int64_t copies, LayoutConfig layout) {
  layout.zero_group_size = copies;
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
      return {layout(2, 1),
              layout(1, 2),
              layout(2, 1, 1),
              layout(2, 1, 2),
              pipeline(2),
              gpipe(pipeline(2)),
              pipeline(2, {}, 2),
              gpipe(pipeline(2, {}, 2)),
              sequence_parallel(layout(1, 2)),
              layout(2, 1, 3),
              context(2)};
    case 3:
      return {layout(3, 1), layout(3, 1, 2), layout(3, 1, 3), pipeline(3), context(3)};
    case 4:
      return {layout(2, 2),
              layout(4, 1),
              layout(1, 4),
              sequence_parallel(layout(1, 4)),
              sequence_parallel(layout(2, 2, 2)),
              layout(2, 2, 1),
              layout(4, 1, 2),
              layout(4, 1, 3),
              sequence_parallel(layout(2, 2, 3)),
              pipeline(4),
              pipeline(2, layout(1, 2)),
              pipeline(2, layout(2, 1)),
              pipeline(2, layout(2, 1, 1)),
              pipeline(2, layout(2, 1, 2), 2),
              pipeline(2, layout(2, 1, 3), 2),
              context(4),
              zero_groups_of(2, layout(4, 1, 1)),
              zero_groups_of(2, layout(4, 1, 3)),
              context(2, layout(2, 1, 3)),
              context(2, sequence_parallel(layout(1, 2)))};
    case 8:
      return {layout(4, 2),
              layout(2, 4),
              layout(4, 2, 2),
              pipeline(2, layout(2, 2)),
              pipeline(4, layout(2, 1, 2)),
              sequence_parallel(pipeline(2, layout(2, 2, 1))),
              layout(8, 1, 3),
              zero_groups_of(2, context(2, layout(2, 2, 2))),
              context(2, pipeline(2, sequence_parallel(layout(1, 2, 1))))};
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

// Weights under their names in files.
using Weights = std::map<std::string, std::vector<float>>;

// Trains, and gives the first rank the trained weights.
test::TrainingTrace train(const parallel::Mesh& mesh, test::TrainingCase setup, Weights& weights) {
  setup.save_to = std::filesystem::temp_directory_path() /
                  fmt::format("tandem_layout_{}_{}", getppid(), test::world().size());
  const test::TrainingTrace trace = test::train_tiny(mesh, setup);
  if (test::world().rank() == 0) {
    const runtime::ShardedSafetensors saved(setup.save_to);
    for (const auto& info : saved.tensors())
      weights[info.name] = saved.read(info.name, runtime::DType::kF32).to_vector<float>();
    std::filesystem::remove_all(setup.save_to);
  }
  return trace;
}

struct Control {
  test::TrainingTrace trace;
  Weights weights;  // on the first rank
};

const Control& control_of(models::ModelKind kind, std::int64_t global_batch_size,
                          std::int64_t layers) {
  static std::map<std::tuple<models::ModelKind, std::int64_t, std::int64_t>, Control> controls;
  const auto [entry, is_new] = controls.try_emplace({kind, global_batch_size, layers});
  Control& control = entry->second;
  if (!is_new) return control;
  const test::TrainingCase setup{.kind = kind,
                                 .global_batch_size = global_batch_size,
                                 .micro_batch_size = global_batch_size,
                                 .layers = layers};
  if (test::world().rank() == 0)
    control.trace = train(parallel::single_rank_mesh(), setup, control.weights);
  for (std::vector<double>* curve : {&control.trace.losses, &control.trace.grad_norms}) {
    curve->resize(setup.steps);
    broadcast(*curve);
  }
  return control;
}

// Of all weights as one vector: the length of the difference, relative to their own. A bias of keys
// has no effect: its gradient is rounding alone, which AdamW makes steps of.
double difference(const Weights& actual, const Weights& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  double square = 0, of_difference = 0;
  for (const auto& [name, values] : expected) {
    if (name.ends_with("key.bias")) continue;
    const auto own = actual.find(name);
    if (own == actual.end() || own->second.size() != values.size()) {
      ADD_FAILURE() << name << " is missing or has another size";
      continue;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      square += std::pow(values[i], 2.0);
      of_difference += std::pow(static_cast<double>(values[i]) - own->second[i], 2.0);
    }
  }
  return std::sqrt(of_difference / square);
}

// What the same steps take on the meta device, which has sizes and no memory, by a rank alone.
std::int64_t planned_peak(const LayoutConfig& l, test::TrainingCase setup) {
  setup.device = {runtime::DeviceType::kMeta, 0};
  return test::train_tiny(parallel::planned_mesh(l, test::world().rank()), setup).peak_bytes;
}

// Of the rank that needs most: a transfer may be done sooner than planned, then its tensors are
// gone.
double most(std::int64_t bytes) {
  return test::world().all_reduce_scalar(static_cast<double>(bytes), parallel::ReduceOp::kMax,
                                         "peak");
}

void expect_equal_training(const LayoutConfig& l, const test::TrainingCase& setup) {
  const Control& control = control_of(setup.kind, setup.global_batch_size, setup.layers);
  EXPECT_LT(control.trace.losses.back(), 0.95 * control.trace.losses.front())
      << "the control does not learn";
  const std::string what = fmt::format("{} {} micro_batch_size {} recompute {}",
                                       test::tiny_config_of(setup.kind, 1)->model_type(), l.str(),
                                       setup.micro_batch_size, static_cast<int>(setup.recompute));
  Weights weights;
  const auto trace = train(parallel::make_mesh(l, test::world()), setup, weights);
  EXPECT_LE(test::worst_difference(trace.losses, control.trace.losses), 1e-5) << what;
  EXPECT_LE(test::worst_difference(trace.grad_norms, control.trace.grad_norms), 1e-4) << what;
  if (test::world().rank() == 0) {
    EXPECT_LE(difference(weights, control.weights), 1e-5) << what;
  }
  const double planned = most(planned_peak(l, setup));
  EXPECT_NEAR(most(trace.peak_bytes), planned, 0.02 * planned) << what;
}

class Layouts : public testing::TestWithParam<models::ModelKind> {};

// Once with all of a replica's share as one micro-batch (in a pipeline: as two), and once with
// micro-batches half as large and recomputation, full and selective in turns.
TEST_P(Layouts, train_to_the_loss_and_weights_of_one_rank) {
  const auto layouts = layouts_for(test::world().size());
  ASSERT_FALSE(layouts.empty()) << "no layouts are listed for " << test::world().size() << " ranks";
  int turn = 0;
  for (const LayoutConfig& l : layouts) {
    test::TrainingCase setup{
        .kind = GetParam(), .global_batch_size = global_batch_for(l), .layers = layers_for(l)};
    const std::int64_t own = setup.global_batch_size / l.data_parallel;
    setup.micro_batch_size = l.pipeline_parallel > 1 ? own / 2 : own;
    expect_equal_training(l, setup);
    setup.micro_batch_size = setup.micro_batch_size % 2 == 0 ? setup.micro_batch_size / 2 : 1;
    setup.recompute = turn++ % 2 == 0 ? models::Recompute::kFull : models::Recompute::kSelective;
    expect_equal_training(l, setup);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Layouts,
                         testing::Values(models::ModelKind::kDecoder, models::ModelKind::kEncoder,
                                         models::ModelKind::kEncoderDecoder),
                         [](const auto& info) {
                           return std::string(test::tiny_config_of(info.param, 1)->model_type());
                         });

TEST(DecoderLayouts, bf16_stays_near_fp32) {
  for (const LayoutConfig& l : layouts_for(test::world().size())) {
    const parallel::Mesh mesh = parallel::make_mesh(l, test::world());
    const std::int64_t global = global_batch_for(l);
    const auto trace = test::train_tiny(mesh, {.global_batch_size = global,
                                               .micro_batch_size = global / l.data_parallel / 2,
                                               .compute = runtime::DType::kBF16,
                                               .layers = layers_for(l)});
    EXPECT_LE(test::worst_difference(
                  trace.losses,
                  control_of(models::ModelKind::kDecoder, global, layers_for(l)).trace.losses),
              0.03)
        << l.str();
  }
}

// Bytes of each parameter on each of two replicas, with moments 8, masters and gradients 4, and 2
// for what kernels compute with.
TEST(DecoderLayouts, replicas_divide_optimizer_state_and_gradients) {
  if (test::world().size() != 2) GTEST_SKIP() << "for two ranks";
  const auto bytes = [](std::int64_t zero) {
    const parallel::Mesh mesh = parallel::make_mesh(layout(2, 1, zero), test::world());
    return static_cast<double>(
        test::train_tiny(mesh, {.steps = 2, .compute = runtime::DType::kBF16}).resident_bytes);
  };
  const double whole = bytes(0);
  EXPECT_NEAR(bytes(1) / whole, (2 + 4 + 12 / 2.0) / 18, 0.01);
  EXPECT_NEAR(bytes(2) / whole, (2 + 16 / 2.0) / 18, 0.01);
  // The embedding, a fifteenth of this model, stays whole.
  EXPECT_NEAR(bytes(3) / whole, 0.5, 0.02);
}

// Three ranks divide neither the batch of 16 nor the 8 heads.
TEST(DecoderLayouts, what_does_not_divide_is_refused_with_the_reason) {
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
