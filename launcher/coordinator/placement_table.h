// Where every role of a run is: the answer of the coordinator once all ranks have registered.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/coordinator/worker_registry.h"

namespace tandem::launcher {

class PlacementTable {
 public:
  PlacementTable() = default;
  explicit PlacementTable(std::vector<WorkerInfo> workers) : workers_(std::move(workers)) {}

  const std::vector<WorkerInfo>& workers() const { return workers_; }
  bool has_role(std::string_view role) const;
  // Ranks of a role in the order of their role ranks; empty for a role that the run does not have.
  std::vector<WorkerInfo> role(std::string_view role) const;
  // The role's first rank, the one that serves. Throws Error (usage) where it does not exist or
  // serves nothing.
  WorkerInfo server(std::string_view role) const;
  // One line per role: "reward: ranks 6-7, served at 127.0.0.1:41235".
  std::string str() const;

 private:
  std::vector<WorkerInfo> workers_;
};

}  // namespace tandem::launcher
