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

}  // namespace tandem::parallel
