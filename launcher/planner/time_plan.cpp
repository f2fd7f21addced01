#include "launcher/planner/time_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>

namespace tandem::launcher {

using parallel::PipelineShape;

namespace {

PipelineShape pipeline_of(const Stage& stage) {
  return std::visit(
      [](const auto& config) {
        if constexpr (requires { config.layout; }) return config.layout.pipeline_shape();
        return PipelineShape{};
      },
      stage.config);
}

// By stage of a pipeline, the first one that does the same work: no other has an embedding or an
// output matrix, or more blocks.
std::vector<int> representatives(const PipelineShape& pipeline, std::int64_t blocks) {
  std::map<std::vector<std::int64_t>, int> first_of_kind;
  std::vector<int> result;
  for (int stage = 0; stage < pipeline.stages; ++stage) {
    std::vector<std::int64_t> kind = {stage == 0, stage == pipeline.stages - 1};
    for (int chunk = 0; chunk < pipeline.chunks; ++chunk) {
      const auto [begin, end] =
          parallel::blocks_of_part(blocks, pipeline.parts(), chunk * pipeline.stages + stage);
      kind.push_back(end - begin);
    }
    result.push_back(first_of_kind.emplace(kind, stage).first->second);
  }
  return result;
}

RoleTime time_of(const RoleMemory& role, const std::vector<const RoleStep*>& stages,
                 const DeviceModel& device) {
  const RoleStep& step = *role.step;
  std::vector<const StepTrace*> traces;
  for (const RoleStep* stage : stages) traces.push_back(&stage->trace);
  RoleTime time{.role = role.role,
                .layout = role.layout,
                .ranks = role.ranks,
                .micro_batch_size = step.micro_batch_size,
                .tokens = step.tokens,
                .step = step_time(traces, step.pipeline, step.micro_batches, device)};
  time.mfu = step.flops_per_token * time.tokens_per_second() /
             (static_cast<double>(role.ranks) * device.peak_flops(step.operands));
  return time;
}

// Ranks of a role, and the seconds that they take where all ranks are at work.
struct RoleWork {
  std::int64_t ranks;
  double seconds;
};

// Roles on the same ranks take turns. Of others the longest is waited for; cores that ranks share
// have no more to give than all of them together.
double seconds_of(const std::vector<RoleWork>& roles, bool in_turn, std::int64_t all_ranks,
                  const DeviceModel& device) {
  double sum = 0, longest = 0, work = 0;
  for (const auto& [ranks, seconds] : roles) {
    sum += seconds;
    longest = std::max(longest, seconds);
    work += static_cast<double>(ranks) * seconds;
  }
  return in_turn ? sum
                 : std::max(work / static_cast<double>(all_ranks), longest / device.ranks_per_core);
}

IterationTime iteration_of(const PpoStage& stage, const StageMemory& plan,
                           const std::vector<RoleTime>& updates, const DeviceModel& device) {
  const rl::PpoConfig& ppo = stage.ppo;
  IterationTime time{.ranks = 0,
                     .tokens = ppo.rollout_batch_size * (ppo.prompt_length + ppo.response_length)};
  for (const RoleMemory& role : plan.roles)
    time.ranks = stage.placement.shared ? role.ranks : time.ranks + role.ranks;
  const auto together = [&](const std::vector<RoleWork>& roles) {
    return seconds_of(roles, stage.placement.shared, time.ranks, device);
  };
  const auto use = [&](const RoleMemory& role, std::string_view what) {
    RoleWork work{role.ranks, 0};
    for (const RoleUse& use : role.uses)
      if (use.what == what)
        for (const Span& part : replay(use.trace, device).parts)
          work.seconds += static_cast<double>(use.times) * part.seconds();
    return work;
  };
  const RoleMemory& policy = plan.roles.front();
  time.sampling = together({use(policy, "sampling")});
  std::vector<RoleWork> others, updated;
  for (const RoleMemory& role : std::span(plan.roles).subspan(1))
    others.push_back(use(role, "scoring"));
  time.scoring = together({use(policy, "scoring")}) + together(others);
  for (const RoleTime& role : updates) updated.push_back({role.ranks, role.step.seconds});
  time.updates = static_cast<double>(ppo.num_ppo_epochs * ppo.num_mini_batches) * together(updated);
  return time;
}

}  // namespace

StageTime plan_time(MemoryPlanner& planner, const Stage& stage, const DeviceModel& device) {
  const PipelineShape pipeline = pipeline_of(stage);
  const std::int64_t blocks =
      pipeline.stages == 1 ? 1 : planner.sizes_of(stage.from())->block_count();
  const std::vector<int> looked_at = representatives(pipeline, blocks);
  std::map<int, StageMemory> plans;
  StageTime time{.stage = stage.name};
  for (const int rank : looked_at) {
    if (plans.contains(rank)) continue;
    plans[rank] = planner.plan_with_steps(stage, rank);
    time.peak = std::max(time.peak, plans[rank].peak_of_a_rank());
  }
  const std::vector<RoleMemory>& roles = plans.at(0).roles;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (!roles[i].step) continue;
    // A pipeline is the only role of its stage that is trained.
    std::vector<const RoleStep*> steps;
    for (int rank = 0; rank < roles[i].step->pipeline.stages; ++rank)
      steps.push_back(&*plans.at(looked_at[static_cast<std::size_t>(rank)]).roles[i].step);
    time.roles.push_back(time_of(roles[i], steps, device));
  }
  if (const auto* ppo = std::get_if<PpoStage>(&stage.config))
    time.iteration = iteration_of(*ppo, plans.at(0), time.roles, device);
  return time;
}

std::string format_seconds(double seconds) {
  constexpr std::array kUnits{"s", "ms", "us"};
  std::size_t unit = 0;
  for (; seconds < 1 && unit + 1 < kUnits.size(); ++unit) seconds *= 1000;
  return fmt::format("{:.3g} {}", seconds, kUnits[unit]);
}

namespace {

std::string render_updates(const std::vector<StageTime>& stages, const DeviceModel& device) {
  std::string text;
  for (const StageTime& stage : stages)
    for (const RoleTime& role : stage.roles) {
      const StepTime& step = role.step;
      const auto share = [&](double seconds) {
        return fmt::format("{:.0f} %", 100 * seconds / step.seconds);
      };
      text += fmt::format(
          "{:<24}{:<20}{:>6}{:>12}{:>12}{:>12}{:>13}{:>12}{:>12}{:>8}\n",
          stage.roles.size() == 1 ? stage.stage : stage.stage + " " + role.role, role.layout,
          role.ranks, format_seconds(step.seconds), fmt::format("{:.0f}", role.tokens_per_second()),
          fmt::format("{:.1f} %", 100 * role.mfu), format_seconds(step.of_a_rank.transfers),
          share(step.of_a_rank.waits), share(step.bubble), role.micro_batch_size);
    }
  if (text.empty()) return text;
  return fmt::format("{:<24}{:<20}{:>6}{:>12}{:>12}{:>12}{:>13}{:>12}{:>12}{:>8}\n",
                     "updates on " + device.name, "layout", "ranks", "time", "tokens/s", "MFU",
                     "transfers", "waited for", "bubble", "micro") +
         text;
}

std::string render_iterations(const std::vector<StageTime>& stages, const DeviceModel& device) {
  std::string text;
  for (const StageTime& stage : stages) {
    if (!stage.iteration) continue;
    const IterationTime& time = *stage.iteration;
    text += fmt::format("{:<44}{:>6}{:>12}{:>12}{:>12}{:>12}{:>12}\n", stage.stage, time.ranks,
                        format_seconds(time.seconds()),
                        fmt::format("{:.0f}", static_cast<double>(time.tokens) / time.seconds()),
                        format_seconds(time.sampling), format_seconds(time.scoring),
                        format_seconds(time.updates));
  }
  if (text.empty()) return text;
  return fmt::format("\n{:<44}{:>6}{:>12}{:>12}{:>12}{:>12}{:>12}\n",
                     "iterations on " + device.name, "ranks", "time", "tokens/s", "sampling",
                     "scoring", "updates") +
         text;
}

}  // namespace

std::string render(const std::vector<StageTime>& stages, const DeviceModel& device) {
  return render_updates(stages, device) + render_iterations(stages, device);
}

}  // namespace tandem::launcher
