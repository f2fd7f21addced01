// What a caller hears when a role fails, is late, is gone or was never there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/coordinator/grpc_support.h"
#include "proto/tandem.grpc.pb.h"
#include "tests/launcher/roles/role_run.h"

namespace tandem::launcher {
namespace {

using runtime::ErrorKind;
using std::chrono::milliseconds;
using test::Failure;
using test::failure_of;
using test::kLong;
using test::RoleRun;
using test::shown;
using test::some_batch;
using testing::HasSubstr;
using testing::StartsWith;

const rl::SequenceBatch kBatch = some_batch(2, 5);

template <typename Role>
Failure failure_of_score(Role& role) {
  return failure_of([&] { role.score(kBatch).get(); });
}

// Holds a role's first call until it opens.
class Gate {
 public:
  std::function<void()> hold() {
    return [this, first = true]() mutable {
      if (!std::exchange(first, false)) return;
      arrived_.set_value();
      open_.get_future().wait();
    };
  }
  void wait_for_arrival() { arrived_.get_future().wait(); }
  void open() { open_.set_value(); }

 private:
  std::promise<void> arrived_, open_;
};

TEST(RoleFailures, an_error_of_the_role_keeps_its_kind) {
  RoleRun run;
  const auto reward = run.connect_reward();
  run.reward.before = [] { runtime::throw_error("no sequence may be empty"); };
  Failure failure = failure_of_score(*reward);
  EXPECT_EQ(failure.message, shown(run, "reward") + ": no sequence may be empty");
  EXPECT_EQ(failure.kind, ErrorKind::kUsage);

  run.reward.before = [] { runtime::throw_environment_error("disk full; free some"); };
  failure = failure_of_score(*reward);
  EXPECT_EQ(failure.message, shown(run, "reward") + ": Score: disk full; free some");
  EXPECT_EQ(failure.kind, ErrorKind::kEnvironment);

  // The role goes on: its caller decides what an error means.
  run.reward.before = [] {};
  EXPECT_EQ(reward->score(kBatch).get().size(), kBatch.size());
}

TEST(RoleFailures, a_long_error_arrives_cut) {
  RoleRun run;
  const auto reward = run.connect_reward();
  std::string message = "x";
  while (message.size() < 100000) message += "é";
  run.reward.before = [&] { runtime::throw_error("{}", message); };
  const Failure failure = failure_of_score(*reward);
  EXPECT_EQ(failure.message, shown(run, "reward") + ": " + message.substr(0, 2047) + " …");
  EXPECT_EQ(failure.kind, ErrorKind::kUsage);
}

TEST(RoleFailures, a_bug_of_the_role_is_told_and_ends_its_rank) {
  RoleRun run;
  const auto reward = run.connect_reward();
  run.reward.before = [] { throw std::logic_error("broken invariant"); };
  const Failure failure = failure_of_score(*reward);
  EXPECT_EQ(failure.message, shown(run, "reward") + ": Score: broken invariant");
  EXPECT_EQ(failure.kind, ErrorKind::kEnvironment);
  run.reward_rank.join();
  EXPECT_THROW(std::rethrow_exception(run.reward_rank.failure()), std::logic_error);
}

TEST(RoleFailures, requests_that_make_no_sense_do_not_reach_the_role) {
  RoleRun run;
  const auto reference = run.connect_reference();
  rl::SequenceBatch batch = kBatch;
  batch.prompt_lengths[1] = static_cast<std::int32_t>(batch.tokens[1].size());
  const Failure failure = failure_of([&] { reference->log_probs(batch, 1.0).get(); });
  EXPECT_EQ(failure.message,
            shown(run, "reference") +
                ": sequence batch: sequence 1 has 6 tokens and a prompt of 6; both "
                "prompt and response need at least one token");
  EXPECT_EQ(failure.kind, ErrorKind::kUsage);
  EXPECT_TRUE(run.reference.notes.calls().empty());
}

TEST(RoleFailures, messages_that_contradict_themselves_are_refused) {
  RoleRun run;
  v1::ScoreRequest request;
  fill(*request.mutable_caller(), run.session().run_id());
  for (const int token : {1, 2, 3}) request.mutable_sequences()->add_tokens(token);
  request.mutable_sequences()->add_lengths(4000000000);
  request.mutable_sequences()->add_prompt_lengths(1);
  v1::ScoreReply reply;
  grpc::ClientContext context;
  set_deadline(context, kLong);
  const grpc::Status status =
      v1::Reward::NewStub(connect(run.server("reward").endpoint))->Score(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(),
            "message: 3 elements of tokens but lengths that add up to 4000000000");
}

TEST(RoleFailures, a_late_answer_is_an_error_and_does_not_answer_the_next_call) {
  RoleRun run;
  const auto reward = run.connect_reward(milliseconds(200));
  Gate gate;
  run.reward.before = gate.hold();
  const Failure failure = failure_of_score(*reward);
  EXPECT_EQ(failure.message, shown(run, "reward") +
                                 " did not answer Score within 0.2 s; that rank's output may say "
                                 "why, a larger services.timeout gives it more time");
  EXPECT_EQ(failure.kind, ErrorKind::kEnvironment);
  gate.open();
  const rl::SequenceBatch other = some_batch(3, 9);
  test::ArithmeticReward direct;
  EXPECT_EQ(run.connect_reward()->score(other).get(), direct.score(other).get());
}

TEST(RoleFailures, a_deadline_counts_from_the_call_not_from_its_turn) {
  RoleRun run;
  const auto reward = run.connect_reward(milliseconds(200));
  Gate gate;
  run.reward.before = gate.hold();
  auto first = reward->score(kBatch);
  auto second = reward->score(kBatch);
  EXPECT_THAT(failure_of([&] { second.get(); }).message, HasSubstr("within 0.2 s"));
  EXPECT_TRUE(first.is_ready());
  gate.open();
}

TEST(RoleFailures, a_role_that_shuts_down_refuses_what_waits) {
  RoleRun run;
  Gate gate;
  run.reward.before = gate.hold();
  const auto reward = run.connect_reward();
  const auto other_client = run.connect_reward();
  auto working = reward->score(kBatch);
  gate.wait_for_arrival();
  auto waiting = other_client->score(kBatch);
  run.coordinator().abort("interrupted");
  std::this_thread::sleep_for(milliseconds(300));  // a few heartbeats
  gate.open();
  run.reward_rank.join();
  EXPECT_EQ(failure_of([&] { std::rethrow_exception(run.reward_rank.failure()); }).message,
            "interrupted");
  run.reward_rank.close_server();
  EXPECT_EQ(working.get().size(), kBatch.size());
  const Failure failure = failure_of([&] { waiting.get(); });
  EXPECT_EQ(failure.message, shown(run, "reward") +
                                 " is gone: Score failed (the role is shutting down); that rank's "
                                 "output says why");
  EXPECT_EQ(failure.kind, ErrorKind::kEnvironment);
}

TEST(RoleFailures, waiting_ends_when_the_run_does) {
  RoleRun run;
  Gate gate;
  run.critic.before = gate.hold();
  RoleClientOptions options = run.client_options();
  options.while_waiting = [&] { run.session().check(); };
  const auto critic = connect_critic(run.server("critic"), options);
  auto values = critic->values(kBatch);
  gate.wait_for_arrival();
  run.coordinator().abort("reward role (rank 3) failed: disk full");
  EXPECT_EQ(failure_of([&] { values.get(); }).message, "reward role (rank 3) failed: disk full");
  gate.open();
}

TEST(RoleFailures, a_client_that_goes_takes_its_calls_with_it) {
  RoleRun run;
  Gate gate;
  run.reward.before = gate.hold();
  auto client = run.connect_reward(std::chrono::hours(1));
  auto behind = run.connect_reward(std::chrono::hours(1));
  std::vector<rl::Pending<std::vector<float>>> scores;
  for (int i = 0; i < 3; ++i) scores.push_back(client->score(kBatch));
  gate.wait_for_arrival();
  scores.push_back(behind->score(kBatch));
  std::this_thread::sleep_for(milliseconds(200));  // it waits at the role
  client.reset();                                  // though the role is still at it
  behind.reset();
  for (auto& score : scores)
    EXPECT_THAT(failure_of([&] { score.get(); }).message, StartsWith(shown(run, "reward")));
  std::this_thread::sleep_for(milliseconds(200));  // the role hears of it
  gate.open();
  EXPECT_EQ(run.connect_reward()->score(kBatch).get().size(), kBatch.size());
  // Those that waited were never begun.
  EXPECT_EQ(run.reward.notes.calls().size(), 2u);
}

TEST(RoleFailures, nobody_at_the_address) {
  RoleRun run;
  WorkerInfo server = run.server("reward");
  server.endpoint = "127.0.0.1:1";
  const Failure failure = failure_of([&] { connect_reward(server, run.client_options()); });
  EXPECT_THAT(failure.message,
              StartsWith("reward role (rank 3, 127.0.0.1:1) is gone: Check failed ("));
  EXPECT_EQ(failure.kind, ErrorKind::kEnvironment);
}

TEST(RoleFailures, somebody_else_at_the_address) {
  RoleRun run;
  WorkerInfo server = run.server("reward");
  server.endpoint = run.server("critic").endpoint;
  EXPECT_EQ(
      failure_of([&] { connect_reward(server, run.client_options()); }).message,
      server.str() + ": the critic role of rank 1 answers there; the placement is out of date");
  RoleClientOptions options = run.client_options();
  options.run_id = "an earlier run";
  EXPECT_EQ(failure_of([&] { connect_reward(run.server("reward"), options); }).message,
            shown(run, "reward") +
                ": Check: the caller belongs to another run; end processes left over from it");
}

// A policy and a reward role that is a process.
class ProcessRun {
 public:
  ProcessRun()
      : coordinator_({{.rank = 0, .role = "policy"}, {.rank = 1, .role = "reward"}},
                     {.registry = {.heartbeat_interval = milliseconds(20),
                                   .heartbeat_timeout = milliseconds(700)}}) {
    std::string program = ROLE_PROCESS;
    std::string ticket = coordinator_.ticket();
    char* arguments[] = {program.data(), ticket.data(), nullptr};
    EXPECT_EQ(posix_spawn(&process_, program.c_str(), nullptr, nullptr, arguments, environ), 0);
    session_ = std::make_unique<WorkerSession>(
        WorkerOptions{.ticket = ticket, .rank = 0, .role = "policy"});
    server_ = session_->wait_placement().server("reward");
    reward_ = connect_reward(server_, {.run_id = session_->run_id(), .deadline = kLong});
  }
  ~ProcessRun() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }

  void signal(int number) const { kill(process_, number); }
  rl::RewardRole& reward() { return *reward_; }
  const WorkerInfo& server() const { return server_; }
  // What the coordinator says once it has noticed.
  std::string abort_reason() const {
    const auto deadline = std::chrono::steady_clock::now() + kLong;
    Failure failure;
    while (failure.message == "no error" && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(10));
      failure = failure_of([&] { session_->check(); });
    }
    return failure.message;
  }
  std::string expected_reason() const {
    return fmt::format(
        "{} sent no heartbeat for 0.7 s (process {} on {}, last heard: Score); it is dead or its "
        "machine is stuck",
        server_.str(), process_, host_name());
  }

 private:
  Coordinator coordinator_;
  pid_t process_ = 0;
  std::unique_ptr<WorkerSession> session_;
  WorkerInfo server_;
  std::unique_ptr<rl::RewardRole> reward_;
};

TEST(RoleFailures, a_killed_process_is_named) {
  ProcessRun run;
  auto scores = run.reward().score(kBatch);
  std::this_thread::sleep_for(milliseconds(300));  // it is at it, and has said so
  run.signal(SIGKILL);
  const Failure failure = failure_of([&] { scores.get(); });
  EXPECT_THAT(failure.message, StartsWith(run.server().str() + " is gone: Score failed ("));
  EXPECT_THAT(failure.message, testing::EndsWith("); that rank's output says why"));
  EXPECT_EQ(failure.kind, ErrorKind::kEnvironment);
  EXPECT_THAT(failure_of_score(run.reward()).message, HasSubstr(" is gone: Score failed ("));
  EXPECT_EQ(run.abort_reason(), run.expected_reason());
}

TEST(RoleFailures, a_stopped_process_is_named) {
  ProcessRun run;
  auto scores = run.reward().score(kBatch);
  std::this_thread::sleep_for(milliseconds(300));
  run.signal(SIGSTOP);
  EXPECT_EQ(run.abort_reason(), run.expected_reason());
  EXPECT_FALSE(scores.is_ready());
}

}  // namespace
}  // namespace tandem::launcher
