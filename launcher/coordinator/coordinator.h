// The meeting point of a run, on rank 0: a gRPC server where every rank registers, asks who is
// where and reports that it is alive. It keeps no state that a restart would lose.
//
//   Coordinator coordinator(expected, options);                   // rank 0
//   ticket = world.broadcast_string(coordinator.ticket(), 0, …);  // to everyone
//   WorkerSession session({.ticket = ticket, …});                 // every rank, rank 0 too
//   … coordinator.shutdown(deadline);                             // rank 0, at the end
//
// Server threads only read and write the registry; no MPI call is made on them.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "launcher/coordinator/worker_registry.h"

namespace tandem::launcher {

struct CoordinatorOptions {
  std::string host = "127.0.0.1";  // the interface to listen on
  int port = 0;                    // 0: a free one, chosen by the system
  // The host that others dial; empty: `host`, or this machine's name where that is 0.0.0.0.
  std::string advertise = "";
  RegistryOptions registry = {};
};

class Coordinator {
 public:
  // Starts listening. Throws Error (environment) naming the port and the remedy where it cannot.
  Coordinator(std::vector<WorkerInfo> expected, const CoordinatorOptions& options);
  ~Coordinator();

  // "host:port/run" for WorkerOptions::ticket.
  const std::string& ticket() const;
  // Throws Error (environment) with the reason where the run was aborted.
  void check() const;
  // Ends the run for everyone: their sessions throw `reason` at the next heartbeat.
  void abort(const std::string& reason);
  // Asks everyone to leave and waits until all registered ranks have; rank 0's own session must
  // have reported done before. Throws Error (environment) naming those who stayed.
  void shutdown(std::chrono::milliseconds deadline);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::launcher
