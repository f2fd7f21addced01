#include "parallel/pipeline/schedule.h"

#include <algorithm>
#include <optional>

#include "parallel/pipeline/simulation.h"
#include "runtime/base/error.h"

namespace tandem::parallel {

using Kind = PipelineAction::Kind;

namespace {

// The k-th forward (or backward) of a rank. Chunks take turns every `stages` micro-batches, so that
// a chunk's last micro-batch of a turn comes back just when the next chunk begins; backward takes
// the chunks from the last.
PipelineAction interleaved(const PipelineShape& shape, Kind kind, std::int64_t k) {
  const std::int64_t turn = shape.stages, round = turn * shape.chunks;
  const auto chunk = static_cast<int>(k % round / turn);
  return {kind, k / round * turn + k % turn,
          kind == Kind::kForward ? chunk : shape.chunks - 1 - chunk};
}

// Chunk by chunk, each over all micro-batches.
PipelineAction one_after_another(const PipelineShape& shape, Kind kind, std::int64_t k,
                                 std::int64_t micro_batches) {
  const auto chunk = static_cast<int>(k / micro_batches);
  return {kind, k % micro_batches, kind == Kind::kForward ? chunk : shape.chunks - 1 - chunk};
}

// How many forwards a rank is ahead of its backwards.
std::int64_t head_start(const PipelineShape& shape, int stage, std::int64_t micro_batches) {
  const std::int64_t below = shape.stages - 1 - stage;
  if (shape.chunks == 1) return std::min(below, micro_batches);
  return std::min(2 * below + static_cast<std::int64_t>(shape.chunks - 1) * shape.stages,
                  micro_batches * shape.chunks);
}

// The forwards of the model's last part move to where their backwards are.
void join_last_part(const PipelineShape& shape, std::vector<PipelineAction>& actions) {
  const auto of_last_part = [&](const PipelineAction& a) { return a.chunk == shape.chunks - 1; };
  std::vector<PipelineAction> joined;
  for (const PipelineAction& action : actions) {
    if (!of_last_part(action)) {
      joined.push_back(action);
    } else if (action.kind == Kind::kBackward) {
      joined.push_back({Kind::kForward, action.micro_batch, action.chunk});
      joined.push_back(action);
    }
  }
  actions = std::move(joined);
}

}  // namespace

std::vector<PipelineAction> pipeline_schedule(const PipelineShape& shape, int stage,
                                              std::int64_t micro_batches) {
  TANDEM_CHECK(stage >= 0 && stage < shape.stages && shape.chunks >= 1, "stage {} of {}, {} chunks",
               stage, shape.stages, shape.chunks);
  const bool gpipe = shape.kind == ScheduleKind::kGPipe;
  if (!gpipe && shape.chunks > 1 && micro_batches % shape.stages != 0)
    runtime::throw_error(
        "a step's {} micro-batches cannot be interleaved over {} pipeline stages; make them a "
        "multiple of {}, or set virtual_stages: 1",
        micro_batches, shape.stages, shape.stages);
  const std::int64_t total = micro_batches * shape.chunks;
  const std::int64_t ahead = gpipe ? total : head_start(shape, stage, micro_batches);
  const auto action = [&](Kind kind, std::int64_t k) {
    return gpipe ? one_after_another(shape, kind, k, micro_batches) : interleaved(shape, kind, k);
  };
  std::vector<PipelineAction> actions;
  for (std::int64_t k = 0; k < ahead; ++k) actions.push_back(action(Kind::kForward, k));
  for (std::int64_t k = 0; k < total; ++k) {
    if (ahead + k < total) actions.push_back(action(Kind::kForward, ahead + k));
    actions.push_back(action(Kind::kBackward, k));
  }
  if (stage == shape.stages - 1) join_last_part(shape, actions);
  return actions;
}

namespace {

// When each action of each part has ended, as far as the simulation has come.
class Simulation {
 public:
  Simulation(const PipelineShape& shape, std::int64_t micro_batches, const PipelineSeconds& seconds)
      : shape_(shape),
        micro_batches_(micro_batches),
        seconds_(seconds),
        ranks_(static_cast<std::size_t>(shape.stages)) {
    const auto cells = static_cast<std::size_t>(shape.parts() * micro_batches);
    for (auto& ends : ends_) ends.resize(cells);
    for (int stage = 0; stage < shape.stages; ++stage)
      ranks_[static_cast<std::size_t>(stage)].actions =
          pipeline_schedule(shape, stage, micro_batches);
  }

  SimulatedStep run() {
    bool moved = true;
    while (std::exchange(moved, false))
      for (int stage = 0; stage < shape_.stages; ++stage)
        while (advance(stage)) moved = true;
    SimulatedStep step;
    step.actions = std::move(actions_);
    double busy = 0;
    for (const Rank& rank : ranks_) {
      TANDEM_CHECK(rank.next == rank.actions.size(), "the schedule's ranks wait for each other");
      step.seconds = std::max(step.seconds, rank.time);
      step.held.push_back(rank.most_held);
      busy += rank.busy;
    }
    if (step.seconds > 0) step.bubble = 1 - busy / shape_.stages / step.seconds;
    return step;
  }

 private:
  struct Rank {
    std::vector<PipelineAction> actions;
    std::size_t next = 0;
    double time = 0, busy = 0;
    std::int64_t held = 0, most_held = 0;
  };

  std::optional<double>& end_of(Kind kind, int part, std::int64_t micro_batch) {
    return ends_[kind == Kind::kBackward]
                [static_cast<std::size_t>(part * micro_batches_ + micro_batch)];
  }

  // When what an action needs is there; nothing while that is not known.
  std::optional<double> ready(const PipelineAction& action, int part) {
    const bool forward = action.kind == Kind::kForward;
    if (forward && part == 0) return 0.0;
    if (!forward && part == shape_.parts() - 1)
      return end_of(Kind::kForward, part, action.micro_batch);
    const auto sent = end_of(action.kind, forward ? part - 1 : part + 1, action.micro_batch);
    return sent ? std::optional(*sent + seconds_.message) : std::nullopt;
  }

  bool advance(int stage) {
    Rank& rank = ranks_[static_cast<std::size_t>(stage)];
    if (rank.next == rank.actions.size()) return false;
    const PipelineAction& action = rank.actions[rank.next];
    const int part = action.chunk * shape_.stages + stage;
    const auto start = ready(action, part);
    if (!start) return false;
    const bool backward = action.kind == Kind::kBackward;
    const double begin = std::max(rank.time, *start), seconds = seconds_.action(stage, action);
    rank.time = begin + seconds;
    rank.busy += seconds;
    actions_.push_back({stage, action, begin, rank.time});
    rank.held += backward ? -1 : 1;
    rank.most_held = std::max(rank.most_held, rank.held);
    end_of(action.kind, part, action.micro_batch) = rank.time;
    ++rank.next;
    return true;
  }

  PipelineShape shape_;
  std::int64_t micro_batches_;
  const PipelineSeconds& seconds_;
  std::vector<std::optional<double>> ends_[2];  // forward, backward; by part and micro-batch
  std::vector<Rank> ranks_;
  std::vector<SimulatedAction> actions_;
};

}  // namespace

SimulatedStep simulate_pipeline(const PipelineShape& shape, std::int64_t micro_batches,
                                const PipelineSeconds& seconds) {
  return Simulation(shape, micro_batches, seconds).run();
}

SimulatedStep simulate_pipeline(const PipelineShape& shape, std::int64_t micro_batches,
                                double forward_seconds, double backward_seconds) {
  return simulate_pipeline(shape, micro_batches, {.action = [=](int, const PipelineAction& action) {
                             return action.kind == Kind::kForward ? forward_seconds
                                                                  : backward_seconds;
                           }});
}

std::pair<std::int64_t, std::int64_t> blocks_of_part(std::int64_t blocks, int parts, int part) {
  const std::int64_t each = blocks / parts, more = blocks % parts;
  const std::int64_t begin = part * each + std::min<std::int64_t>(part, more);
  return {begin, begin + each + (part < more ? 1 : 0)};
}

}  // namespace tandem::parallel
