#include "launcher/planner/step_time.h"

#include <algorithm>
#include <map>
#include <string>

#include "parallel/pipeline/simulation.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

using parallel::OperationKind;
using parallel::PipelineAction;
using parallel::PipelineShape;
using parallel::Transfer;
using Kind = PipelineAction::Kind;

namespace {

// The groups that messages of a pipeline go through (parallel/mesh).
constexpr std::string_view kForwardMessages = "pp", kBackwardMessages = "pp_gradients";

class Replayer {
 public:
  explicit Replayer(const DeviceModel& device) : device_(device) {}

  Replay run(const StepTrace& trace) {
    for (const StepTrace::Event& event : trace.events)
      std::visit([this](const auto& e) { on(e); }, event);
    result_.parts.push_back(part_);
    return std::move(result_);
  }

 private:
  void on(const runtime::KernelWork& work) {
    const double seconds = device_.seconds(work);
    now_ += seconds;
    part_.kernels += seconds;
    if (work.kind != runtime::KernelWork::Kind::kElementwise) part_.operations += work.operations;
  }

  void on(const Transfer& transfer) {
    const double seconds = device_.seconds(transfer);
    part_.transfers += seconds;
    const bool gradients_arrive =
        transfer.kind == OperationKind::kRecv && transfer.group == kBackwardMessages;
    if (gradients_arrive && !receiving_) begin_part();
    receiving_ = gradients_arrive;
    if (!device_.overlaps_transfers) {
      advance_to(now_ + seconds);
      done_.push_back(now_);
    } else if (transfer.group == kForwardMessages || transfer.group == kBackwardMessages) {
      // The schedule says how long they are waited for.
      result_.message = std::max(result_.message, seconds);
      done_.push_back(now_);
    } else {
      double& free = channels_[transfer.group];
      free = std::max(free, now_) + seconds;
      done_.push_back(free);
    }
  }

  void on(const StepTrace::Wait& wait) {
    receiving_ = false;
    advance_to(done_.at(static_cast<std::size_t>(wait.transfer)));
  }

  void on(const StepTrace::MicroBatch&) { begin_part(); }

  void advance_to(double time) {
    part_.waits += std::max(0.0, time - now_);
    now_ = std::max(now_, time);
  }

  void begin_part() {
    if (std::exchange(begun_, true)) result_.parts.push_back(std::exchange(part_, {}));
  }

  const DeviceModel& device_;
  double now_ = 0;
  bool begun_ = false, receiving_ = false;
  std::map<std::string, double> channels_;  // by group: when it is free again
  std::vector<double> done_;                // by transfer
  Span part_;
  Replay result_;
};

bool in_last_part(const PipelineShape& shape, int stage, const PipelineAction& action) {
  return stage == shape.stages - 1 && action.chunk == shape.chunks - 1;
}

// What the actions of one stage take.
struct StageSpans {
  std::vector<Span> forward, backward;  // by chunk
  Span last;                            // the step's last backward, with the update
};

// The parts of a replay are the stage's actions in order; the last part of the model has its
// forwards in its backwards.
StageSpans spans_of(const std::vector<Span>& parts, const PipelineShape& shape,
                    const StepTrace& trace) {
  StageSpans spans{std::vector<Span>(static_cast<std::size_t>(shape.chunks)),
                   std::vector<Span>(static_cast<std::size_t>(shape.chunks)), parts.back()};
  std::size_t next = 0;
  for (const PipelineAction& action :
       parallel::pipeline_schedule(shape, trace.stage, trace.micro_batches)) {
    const bool forward = action.kind == Kind::kForward;
    if (forward && in_last_part(shape, trace.stage, action)) continue;
    const Span& part = parts.at(next++);
    const bool last = next == parts.size() && trace.micro_batches > 1;
    if (!last)
      (forward ? spans.forward : spans.backward).at(static_cast<std::size_t>(action.chunk)) = part;
  }
  TANDEM_CHECK(next == parts.size(), "{} parts of a trace for {} actions", parts.size(), next);
  return spans;
}

StepTime time_in_turn(const Replay& replayed, std::int64_t micro_batches) {
  const auto traced = static_cast<std::int64_t>(replayed.parts.size());
  StepTime time;
  for (const Span& part : replayed.parts) time.of_a_rank += part;
  if (micro_batches > traced)
    time.of_a_rank += static_cast<double>(micro_batches - traced) *
                      replayed.parts[static_cast<std::size_t>(traced / 2)];
  time.seconds = time.of_a_rank.seconds();
  return time;
}

// The time of the step where ranks share cores: all that are at work progress alike, at most as
// fast as alone on a core, which is `ranks_per_core` times the speed that the step was simulated
// with.
double seconds_on_shared_cores(const parallel::SimulatedStep& step, int stages,
                               double ranks_per_core) {
  std::vector<std::pair<double, int>> changes;  // of the number at work
  for (const parallel::SimulatedAction& action : step.actions) {
    changes.emplace_back(action.begin, 1);
    changes.emplace_back(action.end, -1);
  }
  std::ranges::sort(changes);
  double seconds = 0, before = 0;
  int at_work = 0;
  for (const auto& [time, change] : changes) {
    const double speed =
        at_work == 0 ? 1 : std::min(ranks_per_core, static_cast<double>(stages) / at_work);
    seconds += (time - before) / speed;
    before = time;
    at_work += change;
  }
  return seconds;
}

StepTime time_in_pipeline(const std::vector<const StepTrace*>& traces, const PipelineShape& shape,
                          std::int64_t micro_batches, const DeviceModel& device) {
  std::vector<StageSpans> stages;
  double message = 0;
  std::map<const StepTrace*, Replay> replays;
  for (int stage = 0; stage < shape.stages; ++stage) {
    const StepTrace* trace = traces[static_cast<std::size_t>(stage)];
    if (!replays.contains(trace)) replays[trace] = replay(*trace, device);
    message = std::max(message, replays[trace].message);
    stages.push_back(spans_of(replays[trace].parts, shape, *trace));
  }
  StepTime time;
  const auto span_of = [&](int stage, const PipelineAction& action) {
    const StageSpans& spans = stages[static_cast<std::size_t>(stage)];
    const auto chunk = static_cast<std::size_t>(action.chunk);
    if (action.kind == Kind::kForward) return spans.forward[chunk];
    const bool last = action.micro_batch == micro_batches - 1 && action.chunk == 0;
    return last ? spans.last : spans.backward[chunk];
  };
  const parallel::SimulatedStep step = parallel::simulate_pipeline(
      shape, micro_batches,
      {[&](int stage, const PipelineAction& action) { return span_of(stage, action).seconds(); },
       message});
  for (const parallel::SimulatedAction& done : step.actions)
    time.of_a_rank += 1.0 / shape.stages * span_of(done.stage, done.action);
  time.seconds = seconds_on_shared_cores(step, shape.stages, device.ranks_per_core);
  time.bubble = std::max(0.0, time.seconds - time.of_a_rank.seconds());
  return time;
}

}  // namespace

Span& Span::operator+=(const Span& other) {
  kernels += other.kernels;
  waits += other.waits;
  transfers += other.transfers;
  operations += other.operations;
  return *this;
}

Span operator*(double factor, const Span& span) {
  return {factor * span.kernels, factor * span.waits, factor * span.transfers,
          factor * span.operations};
}

Replay replay(const StepTrace& trace, const DeviceModel& device) {
  return Replayer(device).run(trace);
}

StepTime step_time(const std::vector<const StepTrace*>& traces, const PipelineShape& pipeline,
                   std::int64_t micro_batches, const DeviceModel& device) {
  TANDEM_CHECK(static_cast<int>(traces.size()) == pipeline.stages, "{} traces of {} stages",
               traces.size(), pipeline.stages);
  return pipeline.stages == 1 ? time_in_turn(replay(*traces[0], device), micro_batches)
                              : time_in_pipeline(traces, pipeline, micro_batches, device);
}

std::int64_t traced_micro_batches(const PipelineShape& pipeline) {
  if (pipeline.stages == 1) return 3;
  return pipeline.chunks == 1 ? 2 : pipeline.stages;
}

}  // namespace tandem::launcher
