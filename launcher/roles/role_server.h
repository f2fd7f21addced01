// Serves a local implementation of a role (rl/roles.h) to the policy.
//
// gRPC's threads only receive and send. The work itself runs on the thread that calls
// run_on_this_thread, one request after the other, because collectives (MPI) may be called on a
// rank's main thread only. On a role of several ranks the first one serves, and the implementation
// spreads each request over the others.
//
//   RoleServer server(reward, {.rank = rank});
//   WorkerSession session({…, .endpoint = server.endpoint()});
//   server.run_on_this_thread(session);  // until the run is over
//   session.report_done();
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "launcher/coordinator/worker_session.h"
#include "rl/roles.h"

namespace tandem::launcher {

struct RoleServerOptions {
  std::string run_id;              // RunTicket::run_id of the coordinator's ticket
  int rank = 0;                    // in the run
  std::string host = "127.0.0.1";  // the interface to listen on
  int port = 0;                    // 0: a free one, chosen by the system
  // The host that others dial; empty: `host`, or this machine's name where that is 0.0.0.0.
  std::string advertise = "";
};

struct ServeOptions {
  // Called on the serving thread whenever nothing was asked for `idle_interval`: a role of several
  // ranks tells the others that it is still there, so that their own deadlines do not expire.
  std::function<void()> on_idle = {};
  std::chrono::milliseconds idle_interval{10000};
};

class RoleServer {
 public:
  // Starts listening; requests wait until run_on_this_thread. The role must outlive the server.
  // Throws Error (environment) where the address cannot be had.
  RoleServer(rl::ReferenceRole& role, const RoleServerOptions& options);
  RoleServer(rl::RewardRole& role, const RoleServerOptions& options);
  RoleServer(rl::CriticRole& role, const RoleServerOptions& options);
  // Refuses what still waits and stops listening.
  ~RoleServer();

  const std::string& endpoint() const;

  // Works until the coordinator asks everyone to leave. Throws Error (environment) when the run was
  // aborted or the coordinator is gone. An Error of the role is sent to the caller, and serving
  // goes on (the caller decides); any other exception is sent and then leaves this function.
  void run_on_this_thread(WorkerSession& session, const ServeOptions& options = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::launcher
