// How long an update takes: the traces of a pipeline's stages (of one stage where there is no
// pipeline), replayed on a device, and put together as the pipeline's schedule says.
//
// All ranks of a stage do the same at the same time, so one stands for all. Kernels follow each
// other; the transfers of a group follow each other beside them, and hold kernels up only where
// the code waits. Not modelled: texts shorter than the longest, links that several groups use at
// once, and what is outside of an update (reading data, logging, evaluations, checkpoints).
#pragma once

#include <cstdint>
#include <vector>

#include "launcher/planner/device_model.h"
#include "launcher/planner/step_trace.h"
#include "parallel/pipeline/schedule.h"

namespace tandem::launcher {

// Seconds of a part of a step on one rank.
struct Span {
  double kernels = 0;
  double waits = 0;      // of kernels for transfers
  double transfers = 0;  // what all transfers take, most of it beside kernels
  double operations = 0;

  double seconds() const { return kernels + waits; }
  Span& operator+=(const Span& other);
  friend Span operator*(double factor, const Span& span);
};

// The trace's parts on a device: from a micro-batch's forward, or from the arrival of gradients
// from the next stage of a pipeline, to the next of these. What comes before the first belongs to
// it; the last one has the update too.
struct Replay {
  std::vector<Span> parts;
  double message = 0;  // from one stage of a pipeline to the next, where that runs beside kernels
};
Replay replay(const StepTrace& trace, const DeviceModel& device);

struct StepTime {
  double seconds = 0;
  Span of_a_rank;     // the average over the pipeline's stages
  double bubble = 0;  // seconds in which a rank waits for the other stages, likewise
};

// `traces`: by stage, of at least one, and with `micro_batches` at most as many micro-batches; more
// are like those in the middle (without a pipeline) or like the last (with one).
StepTime step_time(const std::vector<const StepTrace*>& traces,
                   const parallel::PipelineShape& pipeline, std::int64_t micro_batches,
                   const DeviceModel& device);

// Micro-batches that a trace needs for that.
std::int64_t traced_micro_batches(const parallel::PipelineShape& pipeline);

}  // namespace tandem::launcher
