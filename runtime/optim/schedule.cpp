#include "runtime/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tandem::runtime {

double schedule_factor(const Schedule& schedule, std::int64_t step) {
  if (step < schedule.warmup_steps)
    return static_cast<double>(step) /
           static_cast<double>(std::max<std::int64_t>(1, schedule.warmup_steps));
  if (schedule.kind == ScheduleKind::kConstant) return 1.0;
  const auto span =
      static_cast<double>(std::max<std::int64_t>(1, schedule.total_steps - schedule.warmup_steps));
  const double progress = static_cast<double>(step - schedule.warmup_steps) / span;
  const double falling = schedule.kind == ScheduleKind::kLinear
                             ? std::max(0.0, 1.0 - progress)
                             : std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
  return falling * (1.0 - schedule.min_ratio) + schedule.min_ratio;
}

}  // namespace tandem::runtime
