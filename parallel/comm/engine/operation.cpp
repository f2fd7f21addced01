#include "parallel/comm/engine/operation.h"

#include <fmt/format.h>

namespace tandem::parallel {

std::string_view name_of(OperationKind kind) {
  switch (kind) {
    case OperationKind::kAllReduce:
      return "all_reduce";
    case OperationKind::kReduceScatter:
      return "reduce_scatter";
    case OperationKind::kAllGather:
      return "all_gather";
    case OperationKind::kBroadcast:
      return "broadcast";
    case OperationKind::kBarrier:
      return "barrier";
    case OperationKind::kSend:
      return "send";
    case OperationKind::kRecv:
      return "recv";
  }
  return "collective";
}

std::string Operation::str() const {
  return fmt::format("{} '{}' ({} bytes, number {} of group '{}')", name_of(kind_), name_, bytes_,
                     sequence_, group_->name);
}

std::string list_ranks(const GroupState& group, const std::vector<int>& ranks) {
  std::string text;
  for (const int r : ranks)
    text += fmt::format("{}rank {}", text.empty() ? "" : ", ", group.world_ranks[r]);
  return text.empty() ? "a peer" : text;
}

std::string late_message(const Operation& operation, std::chrono::nanoseconds waited) {
  const GroupState& group = operation.group();
  return fmt::format(
      "rank {} has waited {:.1f} s for {}: no answer from {}; it may be stuck or gone (see its "
      "log)",
      group.world_ranks[group.rank], std::chrono::duration<double>(waited).count(), operation.str(),
      list_ranks(group, operation.missing_peers()));
}

}  // namespace tandem::parallel
