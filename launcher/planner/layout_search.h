// Which layout of a stage is the fastest: every division of the ranks that the recipe's checks
// accept and that fits into memory, by predicted time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/planner/time_plan.h"

namespace tandem::launcher {

struct LayoutChoice {
  parallel::LayoutConfig layout;
  std::int64_t micro_batch_size = 1;
  std::int64_t peak = 0;  // bytes of a rank
  RoleTime time;
};

struct LayoutSearch {
  std::vector<LayoutChoice> choices;  // fastest first
  std::int64_t too_large = 0;         // valid ones that need more than the limit
};

// The keys of the stage's layout and its micro-batch are free, what else the recipe says stays;
// all `ranks` are used. `limit`: bytes of a rank; 0: none. `type`: as MemoryPlanner's. Throws Error
// for a recipe that is wrong under any layout, and for a stage that does not train on a data set.
LayoutSearch search_layouts(const Recipe& recipe, const std::string& stage, std::int64_t ranks,
                            const DeviceModel& device, std::int64_t limit,
                            runtime::DeviceType type = runtime::DeviceType::kCUDA);

// Stages that search_layouts() takes.
bool has_layouts_to_search(const Stage& stage);

// The best `count`: a table, and the keys of each to paste onto a command line.
std::string render(const LayoutSearch& search, const std::string& stage, const DeviceModel& device,
                   std::size_t count);

}  // namespace tandem::launcher
