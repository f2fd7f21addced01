#include "launcher/coordinator/placement_table.h"

#include <algorithm>
#include <set>

#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

// "0-3, 6" for ascending ranks.
std::string rank_ranges(const std::vector<WorkerInfo>& workers) {
  std::string text;
  for (std::size_t i = 0; i < workers.size();) {
    std::size_t end = i + 1;
    while (end < workers.size() && workers[end].rank == workers[end - 1].rank + 1) ++end;
    text += text.empty() ? "" : ", ";
    text += std::to_string(workers[i].rank);
    if (end - i > 1) text += fmt::format("-{}", workers[end - 1].rank);
    i = end;
  }
  return text;
}

}  // namespace

bool PlacementTable::has_role(std::string_view role) const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [role](const WorkerInfo& worker) { return worker.role == role; });
}

std::vector<WorkerInfo> PlacementTable::role(std::string_view role) const {
  std::vector<WorkerInfo> members;
  std::copy_if(workers_.begin(), workers_.end(), std::back_inserter(members),
               [role](const WorkerInfo& worker) { return worker.role == role; });
  std::sort(members.begin(), members.end(),
            [](const WorkerInfo& a, const WorkerInfo& b) { return a.role_rank < b.role_rank; });
  return members;
}

WorkerInfo PlacementTable::server(std::string_view role) const {
  const std::vector<WorkerInfo> members = this->role(role);
  if (members.empty()) {
    runtime::throw_error("placement: no rank has the {} role; give it one in the recipe", role);
  }
  if (members.front().endpoint.empty()) {
    runtime::throw_error("placement: the {} serves nothing that could be called",
                         members.front().str());
  }
  return members.front();
}

std::string PlacementTable::str() const {
  std::string text;
  std::set<std::string> seen;
  for (const WorkerInfo& worker : workers_) {
    if (!seen.insert(worker.role).second) continue;
    const std::vector<WorkerInfo> members = role(worker.role);
    text += fmt::format("{}: {} {}", worker.role, members.size() == 1 ? "rank" : "ranks",
                        rank_ranges(members));
    if (!members.front().endpoint.empty()) {
      text += fmt::format(", served at {}", members.front().endpoint);
    }
    text += '\n';
  }
  return text;
}

}  // namespace tandem::launcher
