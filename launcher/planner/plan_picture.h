// The plan as a picture: bars of memory, and the schedules of pipelines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/planner/memory_plan.h"

namespace tandem::launcher {

// An SVG file. `limit` is a rank's memory in bytes, drawn across the bars; 0: none.
std::string picture_of(const std::vector<StageMemory>& stages, std::int64_t limit);

}  // namespace tandem::launcher
