// A rank's side of the coordinator: registers, learns the placement, sends heartbeats from a thread
// of its own (so that a long computation does not look like death), and notices when the run ends
// or the coordinator is gone.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "launcher/coordinator/placement_table.h"

namespace tandem::launcher {

struct WorkerOptions {
  std::string ticket;         // Coordinator::ticket()
  int rank = 0;               // in the run
  std::string role;           // "policy", …
  int role_rank = 0;          // within the role
  std::string endpoint = "";  // of this rank's server; empty where it serves nothing
  // For the first contact; the coordinator's own timeouts hold from then on.
  std::chrono::milliseconds connect_timeout{60000};
};

class WorkerSession {
 public:
  // Registers and starts the heartbeat. Throws Error (environment) where the coordinator does not
  // answer or refuses.
  explicit WorkerSession(const WorkerOptions& options);
  // Stops the heartbeat. A session that leaves without report_done is taken for dead after a while.
  ~WorkerSession();

  // Waits until all ranks have registered. Throws Error (environment) naming those who did not
  // within the coordinator's registration timeout.
  PlacementTable wait_placement();

  // Throws Error (environment) when the run was aborted (with the reason) or the coordinator has
  // not answered for the heartbeat timeout. Cheap: looks at what the heartbeat thread last learnt.
  void check() const;
  // The coordinator asked everyone to leave.
  bool stopping() const;
  // What this rank works on, for the coordinator's message should it fall silent; "" when idle.
  void set_activity(std::string activity);
  // The last word, also with an error; the heartbeat ends. An error aborts the run for everyone.
  // Does not throw: there may be nobody left to tell.
  void report_done(const std::string& error = "") noexcept;

  const std::string& run_id() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::launcher
