// Between the coordinator's plain types and their messages. For .cpp files only.
#pragma once

#include "launcher/coordinator/worker_registry.h"
#include "proto/tandem.pb.h"

namespace tandem::launcher {

void to_message(const WorkerInfo& worker, v1::Worker& message);
WorkerInfo worker_from(const v1::Worker& message);

v1::RunPhase to_message(RunPhase phase);
// An unknown phase (of a newer coordinator) reads as aborted.
RunPhase phase_from(v1::RunPhase message);

}  // namespace tandem::launcher
