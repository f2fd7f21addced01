// A run of four ranks in one process: the policy is the test itself, every other role a thread that
// serves, as a rank of its own would.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <thread>

#include "launcher/coordinator/coordinator.h"
#include "launcher/coordinator/run_ticket.h"
#include "launcher/coordinator/worker_session.h"
#include "launcher/roles/role_client.h"
#include "launcher/roles/role_server.h"
#include "tests/launcher/roles/arithmetic_roles.h"

namespace tandem::test {

using std::chrono::milliseconds;

// Far above what a busy machine delays.
inline constexpr milliseconds kLong{20000};

inline std::vector<launcher::WorkerInfo> four_roles() {
  return {{.rank = 0, .role = "policy"},
          {.rank = 1, .role = "critic"},
          {.rank = 2, .role = "reference"},
          {.rank = 3, .role = "reward"}};
}

inline launcher::WorkerOptions worker_options(const std::string& ticket, int rank,
                                              const std::string& endpoint = "") {
  return {.ticket = ticket,
          .rank = rank,
          .role = four_roles()[static_cast<std::size_t>(rank)].role,
          .endpoint = endpoint};
}

// A rank that serves one role until the run ends; `failure` is what left run_on_this_thread.
class ServingRank {
 public:
  template <typename Role>
  ServingRank(Role& role, int rank, const std::string& ticket,
              const launcher::ServeOptions& options)
      : server_(std::make_unique<launcher::RoleServer>(
            role, launcher::RoleServerOptions{.run_id = launcher::parse_run_ticket(ticket).run_id,
                                              .rank = rank})),
        session_(worker_options(ticket, rank, server_->endpoint())),
        thread_([this, options] { serve(options); }) {}

  ~ServingRank() { join(); }

  void join() {
    if (thread_.joinable()) thread_.join();
  }
  // After join.
  std::exception_ptr failure() const { return failure_; }
  const std::string& endpoint() const { return server_->endpoint(); }
  // What waits is refused and nothing comes any more.
  void close_server() { server_.reset(); }

 private:
  void serve(const launcher::ServeOptions& options) {
    try {
      server_->run_on_this_thread(session_, options);
      session_.report_done();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  std::unique_ptr<launcher::RoleServer> server_;
  launcher::WorkerSession session_;
  std::exception_ptr failure_;
  std::thread thread_;
};

class RoleRun {
 public:
  explicit RoleRun(const launcher::ServeOptions& options = {})
      : coordinator_(four_roles(), {.registry = {.heartbeat_interval = milliseconds(20)}}),
        critic_rank(critic, 1, coordinator_.ticket(), options),
        reference_rank(reference, 2, coordinator_.ticket(), options),
        reward_rank(reward, 3, coordinator_.ticket(), options),
        session_(worker_options(coordinator_.ticket(), 0)),
        placement_(session_.wait_placement()) {}

  // Whatever failed, the serving threads end.
  ~RoleRun() {
    session_.report_done();
    try {
      coordinator_.shutdown(milliseconds(0));
    } catch (const runtime::Error&) {
      // They leave in their own time, which the threads' join waits for.
    }
  }

  launcher::Coordinator& coordinator() { return coordinator_; }
  launcher::WorkerSession& session() { return session_; }
  launcher::WorkerInfo server(const std::string& role) const { return placement_.server(role); }
  launcher::RoleClientOptions client_options(milliseconds deadline = kLong) const {
    return {.run_id = session_.run_id(), .deadline = deadline, .connect_deadline = kLong};
  }

  std::unique_ptr<rl::ReferenceRole> connect_reference(milliseconds deadline = kLong) const {
    return launcher::connect_reference(server("reference"), client_options(deadline));
  }
  std::unique_ptr<rl::RewardRole> connect_reward(milliseconds deadline = kLong) const {
    return launcher::connect_reward(server("reward"), client_options(deadline));
  }
  std::unique_ptr<rl::CriticRole> connect_critic(milliseconds deadline = kLong) const {
    return launcher::connect_critic(server("critic"), client_options(deadline));
  }

 private:
  launcher::Coordinator coordinator_;

 public:
  ArithmeticCritic critic;
  ArithmeticReference reference;
  ArithmeticReward reward;
  ServingRank critic_rank, reference_rank, reward_rank;

 private:
  launcher::WorkerSession session_;
  launcher::PlacementTable placement_;
};

// "reward role (rank 3, 127.0.0.1:41235)"
inline std::string shown(const RoleRun& run, const std::string& role) {
  return run.server(role).str();
}

struct Failure {
  std::string message = "no error";
  runtime::ErrorKind kind = runtime::ErrorKind::kUsage;
};

template <typename Function>
Failure failure_of(Function function) {
  try {
    function();
  } catch (const runtime::Error& error) {
    return {error.what(), error.kind()};
  }
  return {};
}

}  // namespace tandem::test
