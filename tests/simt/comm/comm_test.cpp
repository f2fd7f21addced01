// Ranks with emulated cards: every promise of a communicator for tensors of the card, through NCCL
// (a stand-in) and by way of the host; what is said when NCCL fails; and a small model, which
// learns on cards what it learns on the CPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "parallel/comm/device/device_group.h"
#include "parallel/comm/nccl_support.h"
#include "tests/parallel/comm/checks.h"
#include "tests/simt/comm/fake_nccl.h"
#include "tests/simt/comm/through_card.h"
#include "tests/simt/emulator.h"
#include "tests/support/error_of.h"
#include "tests/support/mpi_main.h"
#include "tests/support/tiny_training.h"

namespace tandem::parallel::testing {
namespace {

using runtime::Device;
using runtime::DeviceType;
using runtime::DType;
using runtime::Tensor;
using test::error_of;
using test::NcclTrouble;
using ::testing::HasSubstr;

const Device kCard{DeviceType::kCUDA, 0};

Group cards(std::unique_ptr<DeviceTransport> transport) {
  return Group(std::make_shared<DeviceCommunicator>(test::world(), std::move(transport)));
}

Group staged_cards() {
  return cards(std::make_unique<StagedTransport>(test::world()));
}

Group nccl_cards() {
  test::use_fake_nccl(test::world());
  return cards(make_nccl_transport(test::world(), kCard));
}

// Every rank of these tests is a process with a card of its own.
TEST(DeviceGroup, takes_nccl_for_cards_of_their_own) {
  test::use_fake_nccl(test::world());
  const Group group = device_group(test::world(), kCard);
  Tensor tensor = Tensor::from(std::vector<float>{1, 2}, {2}, kCard);
  group.all_reduce(tensor, ReduceOp::kSum, "sum").wait();
  const auto ranks = static_cast<float>(group.size());
  EXPECT_THAT(tensor.to_vector<float>(), ::testing::ElementsAre(ranks, 2 * ranks));
}

TEST(DeviceGroup, refuses_a_rank_without_a_card_among_others) {
  if (test::world().size() < 2)
    GTEST_SKIP() << "for two ranks or more: comm tests run it on 2 and 3";
  try {
    device_group(test::world(), test::world().rank() == 1 ? Device{} : kCard);
    ADD_FAILURE() << "no error";
  } catch (const runtime::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 0 has a GPU and rank 1 has none"));
  }
}

TEST(DeviceGroup, sees_who_shares_a_card) {
  EXPECT_EQ(sharing_of_cards({"a", "b", "c"}), "");
  EXPECT_EQ(sharing_of_cards({"a", "b", "a"}), "rank 0 and rank 2 share a GPU");
}

class Cards : public ::testing::TestWithParam<Check> {};

TEST_P(Cards, keep_the_promise_by_way_of_the_host) {
  const Group world = through_device(staged_cards(), kCard);
  world.set_deadline(kTestDeadline);
  GetParam().run(world);
}

// NCCL wants the collectives of all groups in one order on all ranks; the other transports want
// that of each group alone.
TEST_P(Cards, keep_the_promise_through_nccl) {
  if (GetParam().name == "in_flight_together")
    GTEST_SKIP() << "NCCL promises less; keep_the_promise_by_way_of_the_host runs it";
  const Group world = through_device(nccl_cards(), kCard);
  world.set_deadline(kTestDeadline);
  GetParam().run(world);
}

INSTANTIATE_TEST_SUITE_P(promises, Cards, ::testing::ValuesIn(all_checks()),
                         [](const auto& info) { return info.param.name; });

// ---- failures of NCCL

class NcclFailure : public ::testing::Test {
 protected:
  void TearDown() override {
    test::set_nccl_trouble(NcclTrouble::kNone);
    simt::set_stalled(false);
    test::world().set_deadline(kTestDeadline);  // of the next test, not of a failure that is wanted
    test::world().barrier("after a failure");
  }

  // Everybody but this rank.
  static std::string peers() {
    std::string text;
    for (int r = 0; r < test::world().size(); ++r)
      if (r != test::world().rank())
        text += (text.empty() ? "rank " : ", rank ") + std::to_string(r);
    return text;
  }

  Group group_ = nccl_cards();
  Tensor tensor_ = Tensor::zeros({1024}, DType::kF32, kCard);
};

// A card that does not come to the end of a collective: nobody waits for it on the host, and yet
// the next call says what happened.
TEST_F(NcclFailure, a_collective_that_does_not_end_is_named_after_the_deadline) {
  group_.set_deadline(std::chrono::milliseconds(300));
  group_.all_reduce(tensor_, ReduceOp::kSum, "first").wait();
  std::this_thread::sleep_for(std::chrono::milliseconds(250));  // the watch sees it end
  simt::set_stalled(true);
  const int aborted = test::aborted_nccl_communicators();
  group_.all_reduce(tensor_, ReduceOp::kSum, "stuck").wait();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const std::string error =
      error_of([&] { group_.all_reduce(tensor_, ReduceOp::kSum, "next").wait(); });
  EXPECT_THAT(error, HasSubstr(fmt::format("rank {} has waited 0.", test::world().rank())));
  EXPECT_THAT(error, HasSubstr("for all_reduce 'stuck' (4096 bytes, number 1 of group 'world'): no "
                               "answer from " +
                               peers() + ";"));
  EXPECT_EQ(test::aborted_nccl_communicators(), aborted + 1);
  EXPECT_EQ(error_of([&] { group_.barrier("later"); }), error);
}

TEST_F(NcclFailure, an_asynchronous_error_is_named) {
  simt::set_stalled(true);
  group_.all_reduce(tensor_, ReduceOp::kSum, "broken").wait();
  test::set_nccl_trouble(NcclTrouble::kRemoteError);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_EQ(error_of([&] { group_.barrier("later"); }),
            fmt::format("rank {}: all_reduce 'broken' (4096 bytes, number 0 of group 'world') with "
                        "{} failed: remote process exited or there was a network error",
                        test::world().rank(), peers()));
}

TEST_F(NcclFailure, a_call_that_stays_in_progress_ends_at_the_deadline) {
  group_.set_deadline(std::chrono::milliseconds(300));
  test::set_nccl_trouble(NcclTrouble::kNeverFinishes);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(
      error_of([&] { group_.broadcast(tensor_, 0, "endless").wait(); }),
      HasSubstr("for broadcast 'endless' (4096 bytes, number 0 of group 'world'): no answer"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

// A neighbour that sends nothing: the card waits, and the next call of any kind names whom for.
TEST_F(NcclFailure, a_message_around_a_ring_that_nobody_sends_is_named_after_the_deadline) {
  const int ranks = group_.size(), before = (group_.rank() + ranks - 1) % ranks;
  group_.connect_ring(1);
  group_.set_deadline(std::chrono::milliseconds(300));
  Work work = group_.recv(tensor_, before, "never sent");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const std::string error =
      error_of([&] { group_.all_reduce(tensor_, ReduceOp::kSum, "next").wait(); });
  EXPECT_THAT(error, HasSubstr(fmt::format("rank {} has waited 0.", test::world().rank())));
  EXPECT_THAT(error, HasSubstr(fmt::format("for recv 'never sent' (4096 bytes, number 0 of group "
                                           "'world: neighbours'): no answer from rank {};",
                                           before)));
}

TEST_F(NcclFailure, an_asynchronous_error_of_a_neighbour_is_named) {
  const int ranks = group_.size(), next = (group_.rank() + 1) % ranks;
  group_.connect_ring(1);
  simt::set_stalled(true);
  Work work = group_.send(tensor_, next, "broken");
  test::set_nccl_trouble(NcclTrouble::kRemoteError);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_EQ(error_of([&] { group_.barrier("later"); }),
            fmt::format("rank {}: send 'broken' (4096 bytes, number 0 of group 'world: "
                        "neighbours') with rank {} failed: remote process exited or there was a "
                        "network error",
                        test::world().rank(), next));
}

// ---- messages around a ring

// Everybody sends first, several messages, and then receives: nobody may wait for anybody.
TEST(Ring, carries_messages_from_card_to_card_that_all_ranks_send_first) {
  constexpr int kMessages = 3;
  for (const int step : {1, -1}) {
    const Group group = nccl_cards();
    group.connect_ring(step);
    const int ranks = group.size(), to = (group.rank() + step + ranks) % ranks,
              from = (group.rank() - step + ranks) % ranks, before = test::nccl_messages_alone();
    std::vector<Work> works;
    for (int i = 0; i < kMessages; ++i) {
      Tensor tensor = Tensor::zeros({100 + i}, DType::kF32, kCard);
      runtime::backend_of(kCard).fill(tensor, static_cast<float>(10 * group.rank() + i));
      works.push_back(group.send(tensor, to, "ring"));
    }
    for (int i = 0; i < kMessages; ++i) {
      Tensor tensor = Tensor::zeros({100 + i}, DType::kF32, kCard);
      group.recv(tensor, from, "ring").wait();
      EXPECT_THAT(tensor.to_vector<float>(), ::testing::Each(static_cast<float>(10 * from + i)));
    }
    for (Work& work : works) work.wait();
    EXPECT_EQ(test::nccl_messages_alone() - before, kMessages);
  }
}

TEST(Ring, leaves_other_messages_to_the_host) {
  const Group group = nccl_cards();
  group.connect_ring(1);
  if (group.size() < 3) GTEST_SKIP() << "for three ranks: two are neighbours either way";
  const int before = test::nccl_messages_alone(), ranks = group.size();
  const int to = (group.rank() + ranks - 1) % ranks, from = (group.rank() + 1) % ranks;
  Tensor sent = Tensor::zeros({5}, DType::kF32, kCard), received = sent.clone();
  runtime::backend_of(kCard).fill(sent, static_cast<float>(group.rank()));
  Work work = group.send(sent, to, "against the ring");
  group.recv(received, from, "against the ring").wait();
  work.wait();
  EXPECT_THAT(received.to_vector<float>(), ::testing::Each(static_cast<float>(from)));
  EXPECT_EQ(test::nccl_messages_alone(), before);
}

// ---- a model

parallel::LayoutConfig layout(std::int64_t dp, std::int64_t tp, std::int64_t zero) {
  return {.data_parallel = dp, .tensor_parallel = tp, .zero_stage = zero};
}

test::TrainingTrace train(const Group& world, const parallel::LayoutConfig& layout, Device device) {
  const std::int64_t global = 4;
  const std::int64_t parts = layout.pipeline_parts();
  return test::train_tiny(make_mesh(layout, world),
                          {.steps = 2,
                           .global_batch_size = global,
                           .micro_batch_size = parts > 1 ? 1 : global / layout.data_parallel,
                           .layers = std::max<std::int64_t>(2, parts),
                           .device = device});
}

TEST(Training, on_cards_gives_what_the_cpu_gives) {
  const int ranks = test::world().size();
  for (const auto& l : {layout(ranks, 1, 0), layout(1, ranks, 0), layout(ranks, 1, 2)}) {
    if (8 % ranks != 0) continue;
    const test::TrainingTrace expected = train(test::world(), l, Device{});
    for (const Group& group : {staged_cards(), nccl_cards()}) {
      const test::TrainingTrace trace = train(group, l, kCard);
      EXPECT_LE(test::worst_difference(trace.losses, expected.losses), 1e-5) << l.str();
      EXPECT_EQ(trace.resident_bytes, expected.resident_bytes) << l.str();
      EXPECT_LE(test::worst_difference(trace.grad_norms, expected.grad_norms), 1e-4) << l.str();
    }
  }
}

TEST(Training, in_a_pipeline_of_cards_gives_what_the_cpu_gives) {
  const int ranks = test::world().size(), before = test::nccl_messages_alone();
  for (const std::int64_t chunks : {1, 2}) {
    if (chunks > 1 && 4 % ranks != 0) continue;  // micro-batches go through the chunks in rounds
    const parallel::LayoutConfig l{.pipeline_parallel = ranks, .virtual_stages = chunks};
    const test::TrainingTrace expected = train(test::world(), l, Device{});
    const test::TrainingTrace trace = train(nccl_cards(), l, kCard);
    EXPECT_LE(test::worst_difference(trace.losses, expected.losses), 1e-5) << l.str();
    EXPECT_LE(test::worst_difference(trace.grad_norms, expected.grad_norms), 1e-4) << l.str();
  }
  EXPECT_GT(test::nccl_messages_alone(), before) << "messages went by way of the host";
}

// What is not on the card comes back as it went.
TEST(Training, with_offload_gives_the_same_bits_with_less_on_the_card) {
  if (test::world().size() != 2) GTEST_SKIP() << "for two ranks";
  const auto mesh = make_mesh(layout(2, 1, 1), nccl_cards());
  runtime::Allocator& card = runtime::allocator_of(kCard);
  for (const auto recompute : {models::Recompute::kSelective, models::Recompute::kFull})
    for (const bool eight_bit : {false, true}) {
      test::TrainingCase setup{.steps = 3,
                               .global_batch_size = 4,
                               .micro_batch_size = 2,
                               .recompute = recompute,
                               .eight_bit = eight_bit,
                               .device = kCard};
      card.reset_peak();
      const test::TrainingTrace kept = test::train_tiny(mesh, setup);
      const std::int64_t peak = card.stats().peak_allocated_bytes;
      setup.offload = true;
      card.reset_peak();
      const test::TrainingTrace moved = test::train_tiny(mesh, setup);
      EXPECT_EQ(moved.losses, kept.losses);
      EXPECT_EQ(moved.grad_norms, kept.grad_norms);
      EXPECT_LT(moved.resident_bytes, kept.resident_bytes);
      EXPECT_LT(card.stats().peak_allocated_bytes, peak);
    }
}

}  // namespace
}  // namespace tandem::parallel::testing
