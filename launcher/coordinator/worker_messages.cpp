#include "launcher/coordinator/worker_messages.h"

namespace tandem::launcher {

void to_message(const WorkerInfo& worker, v1::Worker& message) {
  message.set_rank(worker.rank);
  message.set_role(worker.role);
  message.set_role_rank(worker.role_rank);
  message.set_endpoint(worker.endpoint);
  message.set_host(worker.host);
  message.set_pid(worker.pid);
}

WorkerInfo worker_from(const v1::Worker& message) {
  return {.rank = message.rank(),
          .role = message.role(),
          .role_rank = message.role_rank(),
          .endpoint = message.endpoint(),
          .host = message.host(),
          .pid = message.pid()};
}

v1::RunPhase to_message(RunPhase phase) {
  switch (phase) {
    case RunPhase::kGathering:
      return v1::RUN_PHASE_GATHERING;
    case RunPhase::kRunning:
      return v1::RUN_PHASE_RUNNING;
    case RunPhase::kStopping:
      return v1::RUN_PHASE_STOPPING;
    case RunPhase::kAborted:
      return v1::RUN_PHASE_ABORTED;
  }
  return v1::RUN_PHASE_UNSPECIFIED;
}

RunPhase phase_from(v1::RunPhase message) {
  switch (message) {
    case v1::RUN_PHASE_GATHERING:
      return RunPhase::kGathering;
    case v1::RUN_PHASE_RUNNING:
      return RunPhase::kRunning;
    case v1::RUN_PHASE_STOPPING:
      return RunPhase::kStopping;
    default:
      return RunPhase::kAborted;
  }
}

}  // namespace tandem::launcher
