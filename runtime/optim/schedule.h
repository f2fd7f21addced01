// The learning rate as a pure function of the step, with transformers' formulas.
#pragma once

#include <cstdint>

namespace tandem::runtime {

enum class ScheduleKind { kConstant, kLinear, kCosine };

struct Schedule {
  ScheduleKind kind = ScheduleKind::kCosine;
  std::int64_t warmup_steps = 0;  // rises linearly from 0
  std::int64_t total_steps = 1;
  double min_ratio = 0.0;  // of the peak, reached at total_steps; not for kConstant
};

// Factor in [0, 1] for the update with index `step` (0 is the first; during warm-up that one has
// factor 0, as in transformers' get_*_schedule_with_warmup).
double schedule_factor(const Schedule& schedule, std::int64_t step);

}  // namespace tandem::runtime
