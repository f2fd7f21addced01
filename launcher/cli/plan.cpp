// trainer plan
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "launcher/cli/verbs.h"
#include "launcher/planner/calibration.h"
#include "launcher/planner/layout_search.h"
#include "launcher/planner/plan_picture.h"
#include "launcher/planner/refusal.h"
#include "launcher/recipe/checks.h"
#include "launcher/recipe/suggest.h"
#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"

namespace tandem::launcher {

namespace {

constexpr std::size_t kShownLayouts = 10;

std::optional<DeviceModel> device_of(const PlanCommand& command, std::int64_t ranks) {
  if (command.device.empty()) {
    if (command.search || !command.save_device.empty())
      runtime::throw_error("--{} needs --device: h100, say, or cpu for this machine",
                           command.search ? "search" : "save-device");
    return std::nullopt;
  }
  const DeviceModel device = is_this_machine(command.device)
                                 ? measure_this_machine(static_cast<int>(ranks))
                                 : find_device(command.device);
  if (!command.save_device.empty()) write_device(device, command.save_device);
  return device;
}

std::vector<std::string> stages_to_search(const Recipe& recipe, const std::string& wanted) {
  std::vector<std::string> names;
  for (const Stage& stage : recipe.stages)
    if (has_layouts_to_search(stage)) names.push_back(stage.name);
  if (names.empty())
    runtime::throw_error("{}: no stage trains on a data set, so there is no layout to search",
                         recipe.file);
  if (wanted.empty()) return names;
  if (std::ranges::find(names, wanted) == names.end())
    runtime::throw_error(
        "--stage: the recipe has no stage '{}' whose layouts can be searched{}; "
        "it has {}",
        wanted, suggestion(wanted, names), fmt::join(names, ", "));
  return {wanted};
}

// What ranks will compute on: the machine that --device cpu measures, or what the recipe says.
runtime::DeviceType device_type(const PlanCommand& command, const Recipe& recipe) {
  const bool on_cpu = recipe.device == "cpu" || is_this_machine(command.device);
  return on_cpu ? runtime::DeviceType::kCPU : runtime::DeviceType::kCUDA;
}

std::string found_layouts(const PlanCommand& command, const Recipe& recipe, std::int64_t ranks,
                          const DeviceModel& device) {
  const double memory = command.memory_gb > 0 ? command.memory_gb : device.memory_gb;
  std::string text;
  for (const std::string& stage : stages_to_search(recipe, command.stage)) {
    const LayoutSearch search =
        search_layouts(recipe, stage, ranks, device, static_cast<std::int64_t>(memory * 1e9),
                       device_type(command, recipe));
    if (!text.empty()) text += '\n';
    text += render(search, stage, device, kShownLayouts);
  }
  return text;
}

}  // namespace

void execute(const PlanCommand& command, const parallel::Group& world) {
  const std::int64_t ranks = command.ranks.value_or(world.size());
  const Recipe recipe = load_recipe(command.recipe, command.overrides, ranks);
  if (!command.search) require_valid(recipe, ranks);
  if (world.rank() != 0) return;
  const std::optional<DeviceModel> device = device_of(command, ranks);
  if (command.search) {
    std::fputs(found_layouts(command, recipe, ranks, *device).c_str(), stdout);
    return;
  }
  MemoryPlanner planner(recipe, device_type(command, recipe));
  const std::vector<StageMemory> plans = planner.plan_all();
  std::fputs(render(plans).c_str(), stdout);
  if (device) {
    std::vector<StageTime> times;
    for (const Stage& stage : recipe.stages) times.push_back(plan_time(planner, stage, *device));
    if (const std::string text = render(times, *device); !text.empty())
      std::printf("\n%s", text.c_str());
  }
  const auto limit = static_cast<std::int64_t>(command.memory_gb * 1e9);
  if (!command.plot.empty()) runtime::write_file_atomically(command.plot, picture_of(plans, limit));
  if (limit > 0) require_memory_of_each_rank(planner, plans, limit);
}

}  // namespace tandem::launcher
