// A coordinator and its workers over real connections: threads stand for ranks.
#include "launcher/coordinator/coordinator.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "launcher/coordinator/grpc_support.h"
#include "launcher/coordinator/worker_session.h"
#include "proto/tandem.grpc.pb.h"
#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

// Far above what a busy machine delays, except where a test waits for a timeout.
constexpr milliseconds kLong{20000};
constexpr milliseconds kShort{700};

CoordinatorOptions options(milliseconds registration, milliseconds heartbeat) {
  return {.registry = {.registration_timeout = registration,
                       .heartbeat_interval = milliseconds(20),
                       .heartbeat_timeout = heartbeat}};
}

// rank 0: policy, 1: critic, 2: reward.
std::vector<WorkerInfo> three_roles() {
  return {
      {.rank = 0, .role = "policy"}, {.rank = 1, .role = "critic"}, {.rank = 2, .role = "reward"}};
}

WorkerOptions as(const WorkerInfo& worker, const std::string& ticket) {
  return {.ticket = ticket,
          .rank = worker.rank,
          .role = worker.role,
          .role_rank = worker.role_rank,
          .endpoint = worker.role == "policy" ? "" : "host:" + std::to_string(worker.rank),
          .connect_timeout = kLong};
}

std::unique_ptr<WorkerSession> join(const Coordinator& coordinator, int rank) {
  return std::make_unique<WorkerSession>(
      as(three_roles()[static_cast<std::size_t>(rank)], coordinator.ticket()));
}

std::vector<std::unique_ptr<WorkerSession>> join_all(const Coordinator& coordinator) {
  std::vector<std::unique_ptr<WorkerSession>> sessions;
  for (int rank = 0; rank < 3; ++rank) sessions.push_back(join(coordinator, rank));
  return sessions;
}

template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const runtime::Error& error) {
    EXPECT_EQ(error.kind(), runtime::ErrorKind::kEnvironment);
    return error.what();
  }
  return "no error";
}

// What the session's check() throws, as soon as it throws.
std::string failure_of(const WorkerSession& session) {
  const auto deadline = std::chrono::steady_clock::now() + kLong;
  while (std::chrono::steady_clock::now() < deadline) {
    if (const std::string error = error_of([&] { session.check(); }); error != "no error")
      return error;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return "no error";
}

TEST(Coordinator, tells_everyone_where_everyone_is) {
  const Coordinator coordinator(three_roles(), options(kLong, kLong));
  std::vector<std::future<std::string>> tables;
  for (const int rank : {2, 0, 1})
    tables.push_back(std::async(std::launch::async, [&coordinator, rank] {
      const auto session = join(coordinator, rank);
      const std::string table = session->wait_placement().str();
      session->check();
      session->report_done();
      return table;
    }));
  for (auto& table : tables)
    EXPECT_EQ(
        table.get(),
        "policy: rank 0\ncritic: rank 1, served at host:1\nreward: rank 2, served at host:2\n");
  EXPECT_NO_THROW(coordinator.check());
}

TEST(Coordinator, refuses_ranks_that_are_unknown_or_taken) {
  const Coordinator coordinator(three_roles(), options(kLong, kLong));
  const auto first = join(coordinator, 2);
  WorkerOptions second = as(three_roles()[2], coordinator.ticket());
  second.endpoint = "elsewhere:1";
  EXPECT_THAT(error_of([&] { WorkerSession session(second); }),
              MatchesRegex("coordinator \\(rank 0, 127.0.0.1:[0-9]+\\) refused Register of rank 2: "
                           "rank 2 is registered already by process [0-9]+ on .+"));
  WorkerOptions unknown = as(three_roles()[1], coordinator.ticket());
  unknown.role = "reference";
  EXPECT_THAT(
      error_of([&] { WorkerSession session(unknown); }),
      HasSubstr("refused Register of rank 1: rank 1 came as number 0 of the reference role, "
                "which the placement does not have"));
  EXPECT_NO_THROW(first->check());
}

TEST(Coordinator, refuses_processes_of_another_run_and_of_another_build) {
  const Coordinator coordinator(three_roles(), options(kLong, kLong));
  const RunTicket ticket = parse_run_ticket(coordinator.ticket());
  WorkerOptions stray = as(three_roles()[1], RunTicket{ticket.endpoint, "an earlier run"}.str());
  EXPECT_THAT(error_of([&] { WorkerSession session(stray); }),
              HasSubstr("refused Register of rank 1: the caller belongs to another run; end "
                        "processes left over from it"));

  v1::RegisterRequest request;
  fill(*request.mutable_caller(), ticket.run_id);
  request.mutable_caller()->set_protocol_version(kProtocolVersion + 1);
  v1::RegisterReply reply;
  grpc::ClientContext context;
  set_deadline(context, kLong);
  const grpc::Status status =
      v1::Coordinator::NewStub(connect(ticket.endpoint))->Register(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(),
            "the caller speaks protocol version 2, this process 1; start all ranks from the same "
            "build");
}

TEST(Coordinator, ends_the_run_when_ranks_do_not_come) {
  const Coordinator coordinator(three_roles(), options(kShort, kLong));
  const auto policy = join(coordinator, 0);
  const auto critic = join(coordinator, 1);
  const std::string expected =
      "1 of 3 ranks did not register within 0.7 s: reward role (rank 2); their own output says why";
  EXPECT_EQ(error_of([&] { policy->wait_placement(); }), expected);
  EXPECT_EQ(error_of([&] { critic->wait_placement(); }), expected);
  EXPECT_EQ(error_of([&] { coordinator.check(); }), expected);
}

TEST(Coordinator, names_the_worker_whose_heartbeat_stops) {
  const Coordinator coordinator(three_roles(), options(kLong, kShort));
  auto sessions = join_all(coordinator);
  sessions[2]->set_activity("Score");
  std::this_thread::sleep_for(milliseconds(200));  // a few heartbeats carry it
  sessions[2].reset();                             // without a word
  const std::string expected =
      "reward role (rank 2, host:2) sent no heartbeat for 0.7 s (process " +
      std::to_string(getpid()) + " on " + host_name() +
      ", last heard: Score); it is dead or its machine is stuck";
  EXPECT_EQ(failure_of(*sessions[0]), expected);
  EXPECT_EQ(failure_of(*sessions[1]), expected);
}

TEST(Coordinator, does_not_miss_a_worker_that_computes_for_long) {
  const Coordinator coordinator(three_roles(), options(kLong, kShort));
  const auto sessions = join_all(coordinator);
  std::this_thread::sleep_for(kShort * 3 / 2);  // the ranks' own threads say nothing
  for (const auto& session : sessions) EXPECT_NO_THROW(session->check());
}

TEST(Coordinator, a_failure_reaches_everyone) {
  const Coordinator coordinator(three_roles(), options(kLong, kLong));
  const auto sessions = join_all(coordinator);
  sessions[1]->report_done("no space left on device; free some");
  const std::string expected =
      "critic role (rank 1, host:1) failed: no space left on device; free some";
  EXPECT_EQ(failure_of(*sessions[0]), expected);
  EXPECT_EQ(failure_of(*sessions[2]), expected);
  EXPECT_EQ(error_of([&] { sessions[0]->wait_placement(); }), expected);
  EXPECT_EQ(error_of([&] { coordinator.check(); }), expected);
}

TEST(Coordinator, an_abort_reaches_everyone) {
  Coordinator coordinator(three_roles(), options(kLong, kLong));
  const auto sessions = join_all(coordinator);
  coordinator.abort("interrupted");
  for (const auto& session : sessions) EXPECT_EQ(failure_of(*session), "interrupted");
}

TEST(Coordinator, that_is_gone_is_noticed) {
  auto coordinator = std::make_unique<Coordinator>(three_roles(), options(kLong, kShort));
  const RunTicket ticket = parse_run_ticket(coordinator->ticket());
  const auto session = join(*coordinator, 1);
  coordinator.reset();
  EXPECT_EQ(failure_of(*session),
            "coordinator (rank 0, " + ticket.endpoint +
                ") has not answered rank 1 for 0.7 s; it is dead or its machine is stuck");
  EXPECT_THAT(error_of([&] { WorkerSession late(as(three_roles()[2], ticket.str())); }),
              StartsWith("coordinator (rank 0, " + ticket.endpoint +
                         ") cannot be reached by rank 2 (Register): "));
}

TEST(Coordinator, shutdown_waits_until_everyone_has_left) {
  Coordinator coordinator(three_roles(), options(kLong, kLong));
  auto sessions = join_all(coordinator);
  std::atomic<int> left = 0;
  std::vector<std::jthread> ranks;
  for (int rank = 1; rank < 3; ++rank)
    ranks.emplace_back([&left, &session = *sessions[static_cast<std::size_t>(rank)]] {
      while (!session.stopping()) std::this_thread::sleep_for(milliseconds(5));
      ++left;
      session.report_done();
    });
  EXPECT_FALSE(sessions[1]->stopping());
  sessions[0]->report_done();
  coordinator.shutdown(kLong);
  EXPECT_EQ(left, 2);
  EXPECT_NO_THROW(sessions[1]->check());
}

TEST(Coordinator, shutdown_names_those_who_stay) {
  Coordinator coordinator(three_roles(), options(kLong, kLong));
  const auto sessions = join_all(coordinator);
  sessions[0]->report_done();
  EXPECT_EQ(error_of([&] { coordinator.shutdown(milliseconds(100)); }),
            "the run is over, but within 0.1 s these did not leave: critic role (rank 1, host:1), "
            "reward role (rank 2, host:2)");
}

// A socket that listens, as another program would.
class TakenPort {
 public:
  TakenPort() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_, any, size), 0);
    EXPECT_EQ(::listen(socket_, 1), 0);
    EXPECT_EQ(::getsockname(socket_, any, &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~TakenPort() { ::close(socket_); }
  int port() const { return port_; }

 private:
  int socket_;
  int port_ = 0;
};

TEST(Coordinator, a_port_in_use_is_said_in_one_line) {
  const TakenPort taken;
  CoordinatorOptions wish;
  wish.port = taken.port();
  EXPECT_EQ(error_of([&] { Coordinator coordinator(three_roles(), wish); }),
            "coordinator: cannot listen on 127.0.0.1:" + std::to_string(taken.port()) +
                " (Address already in use); set services.port to another one, or to 0 for a free "
                "one");
}

TEST(Coordinator, two_runs_do_not_share_a_port) {
  const Coordinator first(three_roles(), {});
  CoordinatorOptions wish;
  const std::string endpoint = parse_run_ticket(first.ticket()).endpoint;
  wish.port = std::stoi(endpoint.substr(endpoint.rfind(':') + 1));
  EXPECT_THAT(error_of([&] { Coordinator second(three_roles(), wish); }),
              HasSubstr("Address already in use"));
}

TEST(Coordinator, a_host_of_another_machine_is_said_in_one_line) {
  EXPECT_EQ(error_of([] { Coordinator coordinator(three_roles(), {.host = "192.0.2.7"}); }),
            "coordinator: cannot listen on 192.0.2.7:0 (Cannot assign requested address); set "
            "services.host to an address of this machine");
}

TEST(Coordinator, on_all_interfaces_is_dialed_by_the_machines_name) {
  const Coordinator coordinator(three_roles(), {.host = "0.0.0.0"});
  EXPECT_THAT(coordinator.ticket(), StartsWith(host_name() + ":"));
  const Coordinator advertised(three_roles(), {.host = "0.0.0.0", .advertise = "127.0.0.1"});
  EXPECT_THAT(advertised.ticket(), StartsWith("127.0.0.1:"));
  EXPECT_NO_THROW(join(advertised, 1)->check());
}

}  // namespace
}  // namespace tandem::launcher
