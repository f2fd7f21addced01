// The rules of a run, without network and with a clock of our own.
#include "launcher/coordinator/worker_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::launcher {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr RegistryOptions kOptions{.registration_timeout = milliseconds(1000),
                                   .heartbeat_interval = milliseconds(10),
                                   .heartbeat_timeout = milliseconds(100)};

WorkerInfo worker(int rank, const std::string& role, int role_rank, std::int64_t pid = 0) {
  return {.rank = rank,
          .role = role,
          .role_rank = role_rank,
          .endpoint = role == "reward" ? "127.0.0.1:999" : "",
          .host = "node7",
          .pid = pid};
}

class WorkerRegistryTest : public testing::Test {
 protected:
  WorkerRegistryTest()
      : registry_({{.rank = 2, .role = "reward", .role_rank = 0},
                   {.rank = 0, .role = "policy", .role_rank = 0},
                   {.rank = 1, .role = "policy", .role_rank = 1}},
                  kOptions, now_) {}

  Refusal add(const WorkerInfo& w) { return registry_.add(w, now_, why_); }
  void add_all() {
    EXPECT_EQ(add(worker(0, "policy", 0, 10)), Refusal::kNone);
    EXPECT_EQ(add(worker(1, "policy", 1, 11)), Refusal::kNone);
    EXPECT_EQ(add(worker(2, "reward", 0, 12)), Refusal::kNone);
  }
  // As the coordinator does: a tick every interval.
  void pass(milliseconds time) {
    for (milliseconds passed{0}; passed < time; passed += kOptions.heartbeat_interval) {
      now_ += kOptions.heartbeat_interval;
      registry_.tick(now_);
    }
  }
  void beat(std::initializer_list<int> ranks, milliseconds time) {
    for (milliseconds passed{0}; passed < time; passed += kOptions.heartbeat_interval) {
      for (const int rank : ranks) EXPECT_TRUE(registry_.heartbeat(rank, "", now_));
      pass(kOptions.heartbeat_interval);
    }
  }

  WorkerRegistry::TimePoint now_{};
  WorkerRegistry registry_;
  std::string why_;
};

TEST_F(WorkerRegistryTest, runs_when_everyone_has_come) {
  EXPECT_EQ(add(worker(2, "reward", 0)), Refusal::kNone);
  EXPECT_EQ(add(worker(0, "policy", 0)), Refusal::kNone);
  EXPECT_EQ(registry_.phase(), RunPhase::kGathering);
  EXPECT_EQ(add(worker(1, "policy", 1)), Refusal::kNone);
  EXPECT_EQ(registry_.phase(), RunPhase::kRunning);
  EXPECT_THAT(registry_.workers(),
              ElementsAre(worker(0, "policy", 0), worker(1, "policy", 1), worker(2, "reward", 0)));
}

TEST_F(WorkerRegistryTest, refuses_who_is_not_expected) {
  EXPECT_EQ(add(worker(3, "policy", 2)), Refusal::kUnknownWorker);
  EXPECT_EQ(add(worker(2, "critic", 0)), Refusal::kUnknownWorker);
  EXPECT_EQ(add(worker(1, "policy", 0)), Refusal::kUnknownWorker);
  EXPECT_EQ(why_, "rank 1 came as number 0 of the policy role, which the placement does not have");
  EXPECT_THAT(registry_.workers(), IsEmpty());
}

TEST_F(WorkerRegistryTest, refuses_a_second_process_for_a_rank_but_not_a_repeated_request) {
  EXPECT_EQ(add(worker(2, "reward", 0, 12)), Refusal::kNone);
  EXPECT_EQ(add(worker(2, "reward", 0, 12)), Refusal::kNone);
  EXPECT_EQ(add(worker(2, "reward", 0, 13)), Refusal::kTaken);
  EXPECT_EQ(why_, "rank 2 is registered already by process 12 on node7");
}

TEST_F(WorkerRegistryTest, ends_when_ranks_do_not_come_in_time) {
  add(worker(0, "policy", 0));
  beat({0}, milliseconds(990));
  EXPECT_EQ(registry_.phase(), RunPhase::kGathering);
  beat({0}, milliseconds(20));
  EXPECT_EQ(registry_.phase(), RunPhase::kAborted);
  EXPECT_EQ(registry_.reason(),
            "2 of 3 ranks did not register within 1 s: policy role (rank 1), reward role (rank 2); "
            "their own output says why");
}

TEST_F(WorkerRegistryTest, names_who_falls_silent) {
  add_all();
  registry_.heartbeat(2, "Score", now_);
  beat({0, 1}, milliseconds(100));
  EXPECT_EQ(registry_.phase(), RunPhase::kRunning);
  beat({0, 1}, milliseconds(20));
  EXPECT_EQ(registry_.phase(), RunPhase::kAborted);
  EXPECT_EQ(registry_.reason(),
            "reward role (rank 2, 127.0.0.1:999) sent no heartbeat for 0.1 s (process 12 on node7, "
            "last heard: Score); it is dead or its machine is stuck");
}

TEST_F(WorkerRegistryTest, misses_silent_ranks_also_before_everyone_has_come) {
  add(worker(0, "policy", 0));
  add(worker(2, "reward", 0));
  beat({0}, milliseconds(120));
  EXPECT_EQ(registry_.phase(), RunPhase::kAborted);
  EXPECT_THAT(registry_.reason(), testing::HasSubstr("reward role (rank 2"));
}

TEST_F(WorkerRegistryTest, does_not_miss_who_has_left) {
  add_all();
  EXPECT_TRUE(registry_.done(2, ""));
  beat({0, 1}, milliseconds(500));
  EXPECT_EQ(registry_.phase(), RunPhase::kRunning);
  EXPECT_THAT(registry_.not_done(),
              ElementsAre(worker(0, "policy", 0, 10), worker(1, "policy", 1, 11)));
}

TEST_F(WorkerRegistryTest, blames_nobody_for_its_own_standstill) {
  add_all();
  now_ += milliseconds(5000);  // suspended, or its machine swapped
  registry_.tick(now_);
  EXPECT_EQ(registry_.phase(), RunPhase::kRunning);
  beat({0, 1}, milliseconds(120));
  EXPECT_EQ(registry_.phase(), RunPhase::kAborted);
}

TEST_F(WorkerRegistryTest, a_failure_ends_the_run_and_the_first_reason_stays) {
  add_all();
  EXPECT_TRUE(registry_.done(2, "disk full"));
  EXPECT_TRUE(registry_.done(1, "peer closed the connection"));
  registry_.abort("something else");
  registry_.stop();
  EXPECT_EQ(registry_.phase(), RunPhase::kAborted);
  EXPECT_EQ(registry_.reason(), "reward role (rank 2, 127.0.0.1:999) failed: disk full");
}

TEST_F(WorkerRegistryTest, hears_nothing_from_ranks_that_never_came) {
  EXPECT_FALSE(registry_.heartbeat(0, "", now_));
  EXPECT_FALSE(registry_.done(0, ""));
  EXPECT_FALSE(registry_.heartbeat(9, "", now_));
}

TEST(ListWorkers, stops_after_a_few) {
  std::vector<WorkerInfo> workers;
  for (int i = 0; i < 10; ++i) workers.push_back(worker(i, "policy", i));
  const std::string text = list_workers(workers);
  EXPECT_TRUE(text.starts_with("policy role (rank 0), policy role (rank 1), ")) << text;
  EXPECT_TRUE(text.ends_with("policy role (rank 7) and 2 more")) << text;
}

}  // namespace
}  // namespace tandem::launcher
