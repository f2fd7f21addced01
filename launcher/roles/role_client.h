// The interfaces of rl/roles.h, answered by a process elsewhere over gRPC. Calls return at once;
// the result waits with a deadline. Calls to different roles run at the same time; those to one
// role one after the other, in the order in which they were made.
//
// Errors of a call, when its result is asked for:
//  - "reward role (rank 6, 127.0.0.1:41235) did not answer Score within 60 s; …" (environment)
//  - "reward role (rank 6, 127.0.0.1:41235) is gone: Score failed (…); …" (environment)
//  - the role's own error, opened with its name, kind kept
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "launcher/coordinator/worker_registry.h"
#include "rl/roles.h"

namespace tandem::launcher {

struct RoleClientOptions {
  std::string run_id;  // WorkerSession::run_id()
  std::chrono::milliseconds deadline{60000};
  std::chrono::milliseconds connect_deadline{10000};
  // Called while a result is waited for; may throw (WorkerSession::check).
  std::function<void()> while_waiting = {};
};

// Each connects to the server of a role (PlacementTable::server) and asks whether it is what it
// should be. Throws Error (environment) where it is not or does not answer. Destroying a client
// cancels what is in flight.
std::unique_ptr<rl::ReferenceRole> connect_reference(const WorkerInfo& server,
                                                     const RoleClientOptions& options);
std::unique_ptr<rl::RewardRole> connect_reward(const WorkerInfo& server,
                                               const RoleClientOptions& options);
std::unique_ptr<rl::CriticRole> connect_critic(const WorkerInfo& server,
                                               const RoleClientOptions& options);

}  // namespace tandem::launcher
