// The plan as a person reads it.
#include <fmt/format.h>

#include <array>

#include "launcher/planner/memory_plan.h"

namespace tandem::launcher {

std::string format_bytes(std::int64_t bytes) {
  constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return fmt::format("{:.3g} {}", value, kUnits[unit]);
}

std::string render(const std::vector<StageMemory>& stages) {
  std::string text = fmt::format("{:<24}{:<20}{:>6}{:>12}{:>12}{:>12}{:>13}{:>12}{:>12}\n",
                                 "bytes on each rank", "layout", "ranks", "parameters", "gradients",
                                 "optimizer", "activations", "generation", "peak");
  const auto cell = [](std::int64_t bytes) { return bytes == 0 ? "-" : format_bytes(bytes); };
  for (const StageMemory& stage : stages) {
    for (const RoleMemory& role : stage.roles)
      text += fmt::format("{:<24}{:<20}{:>6}{:>12}{:>12}{:>12}{:>13}{:>12}{:>12}\n",
                          stage.roles.size() == 1 ? stage.stage : stage.stage + " " + role.role,
                          role.layout, role.ranks, cell(role.parameters), cell(role.gradients),
                          cell(role.optimizer), cell(role.activations), cell(role.generation),
                          cell(role.peak()));
    if (stage.pipeline_wait() > 0)
      text += fmt::format("{:<24}its ranks wait for each other {:.0f} % of a step\n", stage.stage,
                          100 * stage.pipeline_wait());
    if (stage.places == RolePlaces::kTogether && stage.roles.size() > 1)
      text += fmt::format("{:<24}{:<99}\n", stage.stage + " together",
                          fmt::format("{:>99}", cell(stage.peak_of_a_rank())));
  }
  return text;
}

}  // namespace tandem::launcher
