// A step of a pipeline whose parts and messages take the times that somebody gives.
#pragma once

#include <functional>

#include "parallel/pipeline/schedule.h"

namespace tandem::parallel {

struct PipelineSeconds {
  std::function<double(int stage, const PipelineAction&)> action;
  double message = 0;  // from one part to the next, or back
};
// Throws InternalError where ranks would wait for each other for ever.
SimulatedStep simulate_pipeline(const PipelineShape& shape, std::int64_t micro_batches,
                                const PipelineSeconds& seconds);

}  // namespace tandem::parallel
