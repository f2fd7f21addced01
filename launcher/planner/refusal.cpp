#include "launcher/planner/refusal.h"

#include <unistd.h>

#include <fstream>

#include "parallel/comm/machine.h"
#include "runtime/base/error.h"
#include "runtime/device/cuda_support.h"

namespace tandem::launcher {

namespace {

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "this machine";
}

// Memory that programs can still get, in bytes; 0 where the system does not say.
std::int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::int64_t kilobytes = 0;
  for (std::string rest; file >> key >> kilobytes; std::getline(file, rest))
    if (key == "MemAvailable:") return kilobytes * 1024;
  return 0;
}

// Memory that ranks may share, and what programs can still get of it (0: not known).
struct MemoryPlace {
  std::string id;
  std::string name;
  std::int64_t free_bytes = 0;
};

MemoryPlace place_of(runtime::Device device) {
  if (device.type == runtime::DeviceType::kCUDA)
    return {runtime::cuda_card_id(device.index), device.str() + " of " + host_name(),
            runtime::cuda_free_bytes(device.index)};
  return {parallel::machine_id(), host_name(), available_memory()};
}

// "; set a, or b, or c", each of which would be enough.
std::string advice(MemoryPlanner& planner, const Stage& stage, std::int64_t limit) {
  std::string text;
  for (const std::string& change : changes_that_fit(planner, stage, limit))
    text += (text.empty() ? "; set " : ", or ") + change;
  return text.empty() ? "; use more ranks for each copy of the model (tensor_parallel)" : text;
}

}  // namespace

void require_memory(const Recipe& recipe, const parallel::Group& world, runtime::Device device) {
  const MemoryPlace place = place_of(device);
  const std::vector<int> here = parallel::ranks_that_say(world, place.id, "places of memory");
  if (place.free_bytes == 0 || here.front() != world.rank()) return;
  const auto ranks_here = static_cast<std::int64_t>(here.size());
  MemoryPlanner planner(recipe, device.type);
  for (const Stage& stage : recipe.stages) {
    const StageMemory plan = planner.plan(stage);
    std::int64_t need = 0;
    for (const int rank : here) need += plan.peak_of(rank);
    if (need <= place.free_bytes) continue;
    runtime::throw_error("stage '{}' needs {} on {} ({} ranks), which has {} free{}", stage.name,
                         format_bytes(need), place.name, ranks_here, format_bytes(place.free_bytes),
                         advice(planner, stage, place.free_bytes / ranks_here));
  }
}

void require_memory_of_each_rank(MemoryPlanner& planner, const std::vector<StageMemory>& plans,
                                 std::int64_t limit) {
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const std::int64_t need = plans[i].peak_of_a_rank();
    const Stage& stage = planner.recipe().stages[i];
    if (need > limit)
      runtime::throw_error("stage '{}' needs {} on a rank, more than {}{}", stage.name,
                           format_bytes(need), format_bytes(limit), advice(planner, stage, limit));
  }
}

}  // namespace tandem::launcher
