// How fast a stage trains on a device: the updates of the roles that it trains and, of PPO, whole
// iterations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/planner/memory_plan.h"
#include "launcher/planner/step_time.h"

namespace tandem::launcher {

struct RoleTime {
  std::string role;
  std::string layout;
  std::int64_t ranks = 1;
  std::int64_t micro_batch_size = 1;
  std::int64_t tokens = 0;  // of an update
  StepTime step = {};
  // The model's arithmetic by its formulas as a share of what the ranks' devices could do in that
  // time (Chowdhery et al. 2022).
  double mfu = 0;

  double tokens_per_second() const { return static_cast<double>(tokens) / step.seconds; }
};

// Of PPO, from one batch of rollouts to the next: the policy samples; then it, the reference, the
// critic and the reward model score; then policy and critic are updated. Responses are as long as
// they may be.
struct IterationTime {
  std::int64_t ranks = 1;
  double sampling = 0, scoring = 0, updates = 0;
  std::int64_t tokens = 0;  // of the rollouts, with their prompts

  double seconds() const { return sampling + scoring + updates; }
};

struct StageTime {
  std::string stage;
  std::int64_t peak = 0;  // bytes of a rank
  std::vector<RoleTime> roles = {};
  std::optional<IterationTime> iteration = {};
};

// Of a pipeline, one rank of every kind of stage is looked at: the first, the last, and those
// between with equally many blocks.
StageTime plan_time(MemoryPlanner& planner, const Stage& stage, const DeviceModel& device);

// A table with a line for each role that is trained, and one with iterations; empty where there is
// neither.
std::string render(const std::vector<StageTime>& stages, const DeviceModel& device);
// "12.3 ms"
std::string format_seconds(double seconds);

}  // namespace tandem::launcher
