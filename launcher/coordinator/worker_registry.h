// Who takes part in a run, who has come, who is alive: the coordinator's memory as a plain state
// machine. Time is passed in and nothing waits here, so that every rule is tested without a
// network.
//
// Phases: gathering → running → stopping, or aborted from any of them. A run is aborted when a rank
// does not register in time, falls silent, or reports a failure; the first reason stays.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tandem::launcher {

// One process of the run.
struct WorkerInfo {
  int rank = 0;
  std::string role = {};      // "policy", "critic", "reference", "reward"
  int role_rank = 0;          // within the role
  std::string endpoint = {};  // "host:port" of its server; empty where it serves nothing
  std::string host = {};
  std::int64_t pid = 0;

  // "reward role (rank 6, 127.0.0.1:41235)", without the address where there is none.
  std::string str() const;
  bool operator==(const WorkerInfo&) const = default;
};

enum class RunPhase { kGathering, kRunning, kStopping, kAborted };

struct RegistryOptions {
  std::chrono::milliseconds registration_timeout{60000};
  std::chrono::milliseconds heartbeat_interval{500};
  std::chrono::milliseconds heartbeat_timeout{30000};
};

// Why a registration is refused.
enum class Refusal { kNone, kUnknownWorker, kTaken };

class WorkerRegistry {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `expected`: every rank with its role and role_rank; endpoints are filled by registrations.
  WorkerRegistry(std::vector<WorkerInfo> expected, const RegistryOptions& options, TimePoint now);

  // A second registration by the same process (a repeated request) is accepted. `why` receives a
  // sentence when refused.
  Refusal add(const WorkerInfo& worker, TimePoint now, std::string& why);
  // False for a rank that has not registered.
  bool heartbeat(int rank, const std::string& activity, TimePoint now);
  // The worker leaves; a non-empty `error` aborts the run.
  bool done(int rank, const std::string& error);
  // Looks for ranks that are late. To be called at least every heartbeat interval: after a longer
  // gap (the coordinator itself stood still) nobody is blamed for that gap.
  void tick(TimePoint now);

  void stop();
  void abort(const std::string& reason);

  RunPhase phase() const { return phase_; }
  const std::string& reason() const { return reason_; }
  const RegistryOptions& options() const { return options_; }
  // Registered workers, by rank.
  std::vector<WorkerInfo> workers() const;
  // Workers that have not left.
  std::vector<WorkerInfo> not_done() const;

 private:
  struct Entry {
    WorkerInfo worker;
    bool registered = false;
    bool done = false;
    TimePoint last_seen;
    std::string activity;
  };

  Entry* find(int rank);
  void check_registration(TimePoint now);
  void check_heartbeats(TimePoint now);

  std::vector<Entry> entries_;
  RegistryOptions options_;
  TimePoint start_;
  TimePoint last_tick_;
  RunPhase phase_ = RunPhase::kGathering;
  std::string reason_;
};

// "critic role (rank 5), reward role (rank 6, 127.0.0.1:41235) and 3 more"
std::string list_workers(const std::vector<WorkerInfo>& workers);

}  // namespace tandem::launcher
