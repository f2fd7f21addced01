#include "launcher/planner/role_planner.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "launcher/planner/step_time.h"

namespace tandem::launcher {

using parallel::LayoutConfig;
using parallel::Mesh;

namespace {

// As many micro-batches as show how much a step holds at a time.
std::int64_t telling_micro_batches(const LayoutConfig& layout) {
  if (layout.pipeline_parallel == 1) return 2;
  if (layout.pipeline_schedule == parallel::ScheduleKind::k1F1B) return 2 * layout.pipeline_parts();
  return std::numeric_limits<std::int64_t>::max();
}

}  // namespace

data::Batch full_batch(std::int64_t count, std::int64_t length, std::int64_t prompt) {
  const std::vector<data::TokenId> tokens(static_cast<std::size_t>(length), 0);
  data::BatchBuilder builder;
  for (std::int64_t i = 0; i < count; ++i) builder.add_completion(tokens, prompt, i);
  return builder.take();
}

std::unique_ptr<models::Model> RolePlanner::build(const std::string& from,
                                                  models::BuildOptions options) {
  options.device = kPaper;
  options.activations.offload &= planner_.offloads();
  return sizes_of(from)->make(options);
}

RoleMemory RolePlanner::trained(const Training& job, const Mesh& mesh) {
  RoleMemory memory{.role = job.role, .layout = job.layout.str(), .ranks = job.layout.ranks()};
  Gauge gauge;
  auto model = build(job.from, job.options);
  memory.gradients = model->trained_parameters().flat_grad().bytes();
  memory.parameters = gauge.held() - memory.gradients;
  runtime::AdamWOptions optimizer = adamw_options(job.optimizer);
  optimizer.offload &= planner_.offloads();
  train::Engine engine(std::move(model), mesh, optimizer,
                       engine_options(job.optimizer, {}, job.reproducible));
  memory.optimizer = gauge.held() - memory.parameters - memory.gradients;
  const std::int64_t few = micro_batches_to_run(job);
  std::optional<StepRecorder> recorder;
  if (records_steps_) recorder.emplace();
  memory.activations = gauge.transient([&] {
    engine.step(
        few,
        [&](std::int64_t) {
          if (recorder) recorder->begin_micro_batch();
          job.micro_batch(engine.model());
        },
        1e-3, 1.0);
  });
  if (recorder) {
    StepTrace trace = recorder->take();
    trace.micro_batches = few;
    trace.stage = engine.mesh().pp.rank();
    memory.step = step_of(job, engine, std::move(trace));
    recorder.reset();
  }
  memory.generation = gauge.transient([&] { job.generate(engine.model()); });
  memory.uses = traces_of(job.uses, engine.model());
  return memory;
}

RoleMemory RolePlanner::frozen(const std::string& role, const std::string& from,
                               const LayoutConfig& layout, const models::BuildOptions& options,
                               const ModelUse& score, const ModelUse& generate,
                               const std::vector<Use>& uses) {
  RoleMemory memory{.role = role, .layout = layout.str(), .ranks = layout.ranks()};
  Gauge gauge;
  const auto model = build(from, options);
  memory.parameters = gauge.held();
  memory.activations = gauge.transient([&] { score(*model); });
  memory.generation = gauge.transient([&] { generate(*model); });
  memory.uses = traces_of(uses, *model);
  return memory;
}

std::vector<RoleUse> RolePlanner::traces_of(const std::vector<Use>& uses,
                                            models::Model& model) const {
  std::vector<RoleUse> traced;
  if (!records_steps_) return traced;
  for (const Use& use : uses) {
    StepRecorder recorder;
    use.run(model);
    traced.push_back({use.what, use.times, recorder.take()});
  }
  return traced;
}

std::int64_t RolePlanner::micro_batches_to_run(const Training& job) const {
  if (job.reproducible == train::Reproducible::kLayout) return job.micro_batches;
  std::int64_t telling = telling_micro_batches(job.layout);
  if (records_steps_)
    telling = std::max(telling, traced_micro_batches(job.layout.pipeline_shape()));
  return std::min(job.micro_batches, telling);
}

RoleStep RolePlanner::step_of(const Training& job, train::Engine& engine, StepTrace trace) {
  return {.pipeline = job.layout.pipeline_shape(),
          .micro_batch_size = job.micro_batch_size,
          .micro_batches = job.micro_batches,
          .tokens = job.tokens * job.micro_batches * job.layout.data_parallel,
          .flops_per_token = flops_per_token(job, engine.model()),
          .operands = job.options.precision.operands(),
          .trace = std::move(trace)};
}

// By the whole model, of which a stage of a pipeline has a part.
double RolePlanner::flops_per_token(const Training& job, const models::Model& model) {
  // A frozen weight has no gradient, a third of its arithmetic.
  const double frozen = job.options.lora.enabled() ? 2.0 / 3 : 1;
  if (job.layout.pipeline_parallel == 1) return frozen * model.training_flops_per_token(job.length);
  models::BuildOptions whole;
  whole.head = job.options.head;
  whole.labels = job.options.labels;
  whole.trainable = false;
  return frozen * build(job.from, whole)->training_flops_per_token(job.length);
}

}  // namespace tandem::launcher
