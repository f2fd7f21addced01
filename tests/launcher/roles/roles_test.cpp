// A role behind a connection is the role itself: values, order, sizes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include "tests/launcher/roles/role_run.h"

namespace tandem::launcher {
namespace {

using std::chrono::milliseconds;
using test::RoleRun;
using test::some_batch;
using testing::ElementsAre;

// NaN and −0 included.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}
bool same_bits(const rl::TokenValues& a, const rl::TokenValues& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return same_bits(x, y); });
}

rl::CriticTrainRequest train_request(const rl::SequenceBatch& batch, std::int64_t step) {
  return {.batch = batch,
          .returns = test::numbers_of(batch, 0.3, 0),
          .old_values = test::numbers_of(batch, 0.7, 1),
          .value_clip = -1,
          .loss_coefficient = 0.1,
          .learning_rate = 1e-5,
          .max_grad_norm = 1.0 / 3,
          .step = step};
}

TEST(Roles, answer_as_they_do_when_called_directly) {
  RoleRun run;
  const auto reference = run.connect_reference();
  const auto reward = run.connect_reward();
  const auto critic = run.connect_critic();
  for (const auto& batch : {some_batch(1, 2), some_batch(7, 9), some_batch(64, 100), {}}) {
    EXPECT_TRUE(same_bits(reference->log_probs(batch, 0.7).get(),
                          run.reference.log_probs(batch, 0.7).get()));
    EXPECT_TRUE(same_bits(reward->score(batch).get(), run.reward.score(batch).get()));
    EXPECT_TRUE(same_bits(critic->values(batch).get(), run.critic.values(batch).get()));
    const rl::CriticTrainRequest request = train_request(batch, 12345678901234);
    EXPECT_EQ(critic->train(request).get(), run.critic.train(request).get());
  }
  EXPECT_EQ(critic->save("/some/where").get(), std::int64_t{1} << 40);
  EXPECT_EQ(critic->load("/some/where else").get(), 7);
  const auto calls = run.critic.notes.calls();
  EXPECT_EQ(calls[calls.size() - 2], "save /some/where");
  EXPECT_EQ(calls.back(), "load /some/where else");
}

TEST(Roles, odd_numbers_survive) {
  RoleRun run;
  const auto critic = run.connect_critic();
  rl::CriticTrainRequest request = train_request(some_batch(1, 7), 0);
  ASSERT_EQ(request.returns[0].size(), 6u);
  request.returns[0] = {-0.0f, 1e-42f, std::numeric_limits<float>::max(), 0.1f, -1e-38f, 3.0f};
  EXPECT_EQ(critic->train(request).get(), run.critic.train(request).get());
  request.returns[0][3] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(critic->train(request).get().loss, std::numeric_limits<double>::infinity());
  request.returns[0][3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(critic->train(request).get().loss));
}

// A large request takes longer to arrive than the small one behind it.
TEST(Roles, calls_are_executed_in_the_order_in_which_they_were_made) {
  RoleRun run;
  const auto critic = run.connect_critic();
  const rl::SequenceBatch large = some_batch(50, 20000);
  const rl::SequenceBatch small = some_batch(1, 4);
  std::vector<std::string> expected;
  std::vector<rl::Pending<rl::TokenValues>> values;
  std::vector<rl::Pending<rl::CriticStats>> stats;
  for (std::int64_t step = 0; step < 5; ++step) {
    values.push_back(critic->values(large));
    stats.push_back(critic->train(train_request(small, step)));
    values.push_back(critic->values(small));
    for (const auto& call :
         {std::string("values of 50"), "train " + std::to_string(step), std::string("values of 1")})
      expected.push_back(call);
  }
  // The last one first: nobody needs to ask for the results in order.
  test::ArithmeticCritic direct;
  EXPECT_EQ(stats.back().get(), direct.train(train_request(small, 4)).get());
  for (auto& value : values) value.get();
  EXPECT_EQ(run.critic.notes.calls(), expected);
}

TEST(Roles, work_at_the_same_time) {
  RoleRun run;
  std::promise<void> reference_is_at_it;
  run.reference.before = [&] { reference_is_at_it.set_value(); };
  run.reward.before = [started = reference_is_at_it.get_future().share()] { started.wait(); };
  const auto reference = run.connect_reference();
  const auto reward = run.connect_reward();
  const rl::SequenceBatch batch = some_batch(2, 5);
  auto scores = reward->score(batch);  // waits for the reference, which is asked later
  auto log_probs = reference->log_probs(batch, 1.0);
  EXPECT_EQ(scores.get().size(), 2u);
  EXPECT_EQ(log_probs.get().size(), 2u);
}

// gRPC's default limit is 4 MiB.
TEST(Roles, batches_of_many_megabytes_pass) {
  RoleRun run;
  const auto critic = run.connect_critic();
  const rl::SequenceBatch batch = some_batch(500, 6000);  // 9 MB of tokens, 6 MB of values
  EXPECT_TRUE(same_bits(critic->values(batch).get(), run.critic.values(batch).get()));
  const auto request = train_request(batch, 1);
  EXPECT_EQ(critic->train(request).get(), run.critic.train(request).get());
}

// On the thread that works, where collectives may be called, and so never while it works.
TEST(Roles, tell_that_they_are_idle_on_the_thread_that_works) {
  std::mutex mutex;
  std::multiset<std::thread::id> idle;
  const auto times_idle = [&](std::thread::id thread) {
    const std::lock_guard lock(mutex);
    return idle.count(thread);
  };
  RoleRun run({.on_idle =
                   [&] {
                     const std::lock_guard lock(mutex);
                     idle.insert(std::this_thread::get_id());
                   },
               .idle_interval = milliseconds(20)});
  std::thread::id worker;
  run.reward.before = [&] { worker = std::this_thread::get_id(); };
  EXPECT_EQ(run.connect_reward()->score(some_batch(2, 5)).get().size(), 2u);
  while (times_idle(worker) < 3) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(times_idle(std::this_thread::get_id()), 0u);
}

TEST(Roles, leave_when_the_run_is_over) {
  RoleRun run;
  const auto reward = run.connect_reward();
  EXPECT_EQ(reward->score(some_batch(2, 5)).get().size(), 2u);
  run.session().report_done();
  EXPECT_NO_THROW(run.coordinator().shutdown(test::kLong));
  for (auto* rank : {&run.critic_rank, &run.reference_rank, &run.reward_rank}) {
    rank->join();
    EXPECT_EQ(rank->failure(), nullptr);
  }
}

}  // namespace
}  // namespace tandem::launcher
