// In which order the ranks of a pipeline work on the micro-batches of a step. A schedule is a plain
// list, one per rank; who executes it and who simulates it read the same one.
//
// A model is cut into stages · chunks parts of neighbouring blocks. Rank r of the pipeline holds
// the parts r, r + stages, r + 2·stages, …: its chunks 0, 1, 2, … More than one chunk shortens the
// wait for the first and after the last micro-batch, for more messages (Narayanan et al. 2021,
// "interleaved").
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tandem::parallel {

enum class ScheduleKind {
  kGPipe,  // all forwards, then all backwards (Huang et al. 2019)
  k1F1B,   // a backward as soon as there is one (PipeDream-Flush: Narayanan et al. 2021)
};

struct PipelineShape {
  ScheduleKind kind = ScheduleKind::k1F1B;
  int stages = 1;
  int chunks = 1;  // of each stage

  int parts() const { return stages * chunks; }
};

struct PipelineAction {
  enum class Kind { kForward, kBackward };
  Kind kind = Kind::kForward;
  std::int64_t micro_batch = 0;
  int chunk = 0;

  bool operator==(const PipelineAction&) const = default;
};

// What rank `stage` does in a step, in order. The forward of the model's last part always stands
// right before the backward of the same micro-batch there. Throws Error for a number of
// micro-batches that the schedule cannot interleave: it must be a multiple of the stages.
std::vector<PipelineAction> pipeline_schedule(const PipelineShape& shape, int stage,
                                              std::int64_t micro_batches);

struct SimulatedAction {
  int stage = 0;
  PipelineAction action;
  double begin = 0, end = 0;  // seconds
};

// A step as the schedule alone determines it: messages take no time.
struct SimulatedStep {
  double seconds = 0;
  double bubble = 0;               // share of that time that a rank waits, on average
  std::vector<std::int64_t> held;  // by stage: the most forwards whose backward is yet to come
  std::vector<SimulatedAction> actions;  // of each stage in order
};
// `forward_seconds` and `backward_seconds` of one part and one micro-batch. Throws InternalError
// where ranks would wait for each other for ever.
SimulatedStep simulate_pipeline(const PipelineShape& shape, std::int64_t micro_batches,
                                double forward_seconds, double backward_seconds);

// The blocks of part `part`: [first, second). As equal as can be, the larger parts first: the last
// one has the output matrix too.
std::pair<std::int64_t, std::int64_t> blocks_of_part(std::int64_t blocks, int parts, int part);

}  // namespace tandem::parallel
