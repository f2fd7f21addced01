// Promises of launcher/planner/step_time.h and device_model.h, on traces and devices with round
// numbers: what overlaps, what is waited for, and what micro-batches and pipelines add up to.
#include "launcher/planner/step_time.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "launcher/planner/device_model.h"
#include "parallel/comm/planned.h"
#include "tests/support/error_of.h"

namespace tandem::launcher {
namespace {

using parallel::OperationKind;
using parallel::Transfer;
using runtime::DType;
using runtime::KernelWork;
using ::testing::HasSubstr;

// Products at 1 TFLOP/s in bf16, half of that in fp32; 1 GB/s everywhere, nothing besides; two
// ranks on a node.
DeviceModel round_device() {
  return {.name = "round",
          .bf16_tflops = 1,
          .fp32_tflops = 0.5,
          .bf16_attention_tflops = 1,
          .fp32_attention_tflops = 0.5,
          .elementwise_tflops = 1,
          .memory_gb_per_s = 1,
          .ranks_per_node = 2,
          .node_gb_per_s = 1,
          .network_gb_per_s = 0.1};
}

KernelWork product(double seconds) {
  return {KernelWork::Kind::kMatmul, DType::kBF16, seconds * 1e12, 0};
}

Transfer transfer(OperationKind kind, double gigabytes, int ranks, int stride = 1,
                  const std::string& group = "dp") {
  return {kind, static_cast<std::int64_t>(gigabytes * 1e9), ranks, stride, group};
}

// An all-gather of two ranks of a node that takes so long.
Transfer gather(double seconds, const std::string& group = "dp") {
  return transfer(OperationKind::kAllGather, 2 * seconds, 2, 1, group);
}

TEST(DeviceModel, a_kernel_takes_the_longer_of_arithmetic_and_memory_and_its_overhead) {
  DeviceModel device = round_device();
  const KernelWork work{KernelWork::Kind::kMatmul, DType::kBF16, 2e12, 1e9};
  EXPECT_DOUBLE_EQ(device.seconds(work), 2);
  device.matmul_efficiency = 0.5;
  EXPECT_DOUBLE_EQ(device.seconds(work), 4);
  EXPECT_DOUBLE_EQ(device.seconds({KernelWork::Kind::kMatmul, DType::kF32, 2e12, 1e9}), 8);
  const KernelWork fp8{KernelWork::Kind::kMatmul, DType::kF8E5M2, 2e12, 0};
  EXPECT_DOUBLE_EQ(device.seconds(fp8), 4) << "a device without fp8 takes what bf16 takes";
  device.fp8_tflops = 4;
  EXPECT_DOUBLE_EQ(device.seconds(fp8), 1);
  device.memory_efficiency = 0.1;
  device.kernel_us = 1e6;
  EXPECT_DOUBLE_EQ(device.seconds(work), 1 + 10);
  device.bf16_attention_tflops = 0.01;
  EXPECT_DOUBLE_EQ(device.seconds({KernelWork::Kind::kAttention, DType::kBF16, 2e12, 0}), 201);
  EXPECT_DOUBLE_EQ(device.seconds({KernelWork::Kind::kElementwise, DType::kBF16, 2e12, 0}), 3);
}

TEST(DeviceModel, transfers_move_what_their_algorithms_move) {
  const DeviceModel device = round_device();
  using Op = OperationKind;
  // Within a node: (p − 1)/p of the bytes, twice for an all-reduce.
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kAllReduce, 1, 2)), 1);
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kReduceScatter, 1, 2)), 0.5);
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kAllGather, 1, 2)), 0.5);
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kSend, 1, 2)), 1);
  // Eight ranks on four nodes: 6/8 of an exchange leave the node, at a tenth of the speed.
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kReduceScatter, 1, 8)), 7.5);
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kAllReduce, 1, 8)), 15);
  // Of an all-gather each byte comes once into a node, by two ways.
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kAllGather, 1, 8)), 3.75);
  // Neighbours two ranks apart are each on a node of their own.
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kAllGather, 1, 2, 2)), 5);
  EXPECT_DOUBLE_EQ(device.seconds(transfer(Op::kSend, 1, 2, 2)), 10);
}

TEST(DeviceModel, latency_grows_with_the_logarithm_of_the_ranks) {
  DeviceModel device = round_device();
  device.node_us = 1e6;
  device.network_us = 3e6;
  EXPECT_DOUBLE_EQ(device.seconds(transfer(OperationKind::kAllGather, 0, 2)), 1);
  EXPECT_DOUBLE_EQ(device.seconds(transfer(OperationKind::kAllGather, 0, 8)), 9);
  EXPECT_DOUBLE_EQ(device.seconds(transfer(OperationKind::kAllReduce, 0, 8)), 18);
}

StepTrace trace(std::vector<StepTrace::Event> events, std::int64_t micro_batches = 1) {
  return {std::move(events), micro_batches};
}

TEST(Replay, a_transfer_runs_beside_kernels_until_it_is_waited_for) {
  const Replay done = replay(
      trace({StepTrace::MicroBatch{}, gather(3), product(2), StepTrace::Wait{0}, product(1)}),
      round_device());
  ASSERT_EQ(done.parts.size(), 1u);
  EXPECT_DOUBLE_EQ(done.parts[0].kernels, 3);
  EXPECT_DOUBLE_EQ(done.parts[0].waits, 1);
  EXPECT_DOUBLE_EQ(done.parts[0].transfers, 3);
  EXPECT_DOUBLE_EQ(done.parts[0].operations, 3e12);
}

TEST(Replay, transfers_of_a_group_follow_each_other_and_those_of_two_groups_do_not) {
  const auto waits = [](const std::string& group) {
    return replay(trace({gather(3), gather(3, group), StepTrace::Wait{0}, StepTrace::Wait{1}}),
                  round_device())
        .parts[0]
        .waits;
  };
  EXPECT_DOUBLE_EQ(waits("dp"), 6);
  EXPECT_DOUBLE_EQ(waits("tp"), 3);
}

TEST(Replay, what_nobody_waits_for_holds_nothing_up) {
  EXPECT_DOUBLE_EQ(replay(trace({gather(3), product(1)}), round_device()).parts[0].seconds(), 1);
}

TEST(Replay, on_a_cpu_the_rank_itself_moves_the_bytes) {
  DeviceModel cpu = round_device();
  cpu.overlaps_transfers = false;
  const Replay done = replay(trace({gather(3), product(2), StepTrace::Wait{0}}), cpu);
  EXPECT_DOUBLE_EQ(done.parts[0].seconds(), 5);
}

TEST(StepTime, micro_batches_that_were_not_traced_are_like_those_in_the_middle) {
  const StepTrace three = trace({StepTrace::MicroBatch{}, product(10), StepTrace::MicroBatch{},
                                 product(1), StepTrace::MicroBatch{}, product(100)},
                                3);
  EXPECT_DOUBLE_EQ(step_time({&three}, {}, 3, round_device()).seconds, 111);
  EXPECT_DOUBLE_EQ(step_time({&three}, {}, 7, round_device()).seconds, 115);
}

// Two micro-batches through two stages, with a forward of 1 s and a backward of 2 s on each.
StepTrace first_stage(double gigabytes = 0) {
  const auto message = [&](OperationKind kind, const char* group) {
    return transfer(kind, gigabytes, 2, 1, group);
  };
  std::vector<StepTrace::Event> events;
  for (int i = 0; i < 2; ++i) {
    events.emplace_back(StepTrace::MicroBatch{});
    events.emplace_back(product(1));
    events.emplace_back(message(OperationKind::kSend, "pp"));
  }
  for (int i = 0; i < 2; ++i) {
    events.emplace_back(message(OperationKind::kRecv, "pp_gradients"));
    events.emplace_back(StepTrace::Wait{2 + i});
    events.emplace_back(product(2));
  }
  StepTrace first = trace(std::move(events), 2);
  // 1F1B on the first of two stages: forward, forward, backward, backward.
  return first;
}

StepTrace last_stage(double gigabytes = 0) {
  const auto message = [&](OperationKind kind, const char* group) {
    return transfer(kind, gigabytes, 2, 1, group);
  };
  std::vector<StepTrace::Event> events;
  for (int i = 0; i < 2; ++i) {
    events.emplace_back(StepTrace::MicroBatch{});
    events.emplace_back(message(OperationKind::kRecv, "pp"));
    events.emplace_back(StepTrace::Wait{2 * i});
    events.emplace_back(product(3));
    events.emplace_back(message(OperationKind::kSend, "pp_gradients"));
  }
  StepTrace last = trace(std::move(events), 2);
  last.stage = 1;
  return last;
}

constexpr parallel::PipelineShape kTwoStages{parallel::ScheduleKind::k1F1B, 2, 1};

TEST(StepTime, a_pipeline_waits_at_its_beginning_and_end) {
  const StepTrace first = first_stage(), last = last_stage();
  for (const std::int64_t count : {2, 8}) {
    const StepTime time = step_time({&first, &last}, kTwoStages, count, round_device());
    EXPECT_DOUBLE_EQ(time.seconds, 3.0 * static_cast<double>(count) + 3);
    EXPECT_DOUBLE_EQ(time.bubble, 3);
    EXPECT_DOUBLE_EQ(time.of_a_rank.kernels, 3.0 * static_cast<double>(count));
  }
}

TEST(StepTime, the_update_of_a_pipeline_comes_once) {
  StepTrace first = first_stage();
  first.events.emplace_back(product(0.5));
  const StepTrace last = last_stage();
  EXPECT_DOUBLE_EQ(step_time({&first, &last}, kTwoStages, 8, round_device()).seconds, 27.5);
}

TEST(StepTime, messages_of_a_pipeline_take_time) {
  const StepTrace first = first_stage(0.25), last = last_stage(0.25);
  const StepTime alone = step_time({&first, &last}, kTwoStages, 1, round_device());
  EXPECT_DOUBLE_EQ(alone.seconds, 1 + 0.25 + 3 + 0.25 + 2);
}

TEST(StepTime, ranks_that_share_a_core_use_what_a_waiting_one_leaves) {
  const StepTrace first = first_stage(), last = last_stage();
  DeviceModel crowded = round_device();
  crowded.ranks_per_core = 2;
  const StepTime time = step_time({&first, &last}, kTwoStages, 8, crowded);
  EXPECT_DOUBLE_EQ(time.seconds, 24);
  EXPECT_DOUBLE_EQ(time.bubble, 0);
}

// Three cores for four ranks: one that works alone is no faster than a core.
TEST(StepTime, a_core_that_no_rank_uses_is_lost) {
  const StepTrace first = first_stage(), last = last_stage();
  DeviceModel crowded = round_device();
  crowded.ranks_per_core = 1.5;
  const StepTime time = step_time({&first, &last}, kTwoStages, 8, crowded);
  EXPECT_DOUBLE_EQ(time.seconds, 21 + 6 / 1.5);  // both at work, one at work
  EXPECT_DOUBLE_EQ(time.bubble, 1);
}

TEST(FindDevice, knows_devices_by_name_and_says_which) {
  EXPECT_EQ(find_device("h100").bf16_tflops, 989);
  EXPECT_GT(find_device("h200").memory_gb, find_device("h100").memory_gb);
  const std::string error = test::error_of([] { find_device("h10"); });
  EXPECT_THAT(error, HasSubstr("no device or file 'h10' (did you mean 'h100'?)"));
  EXPECT_THAT(error, HasSubstr("known are cpu, a100, b200, h100, h200, l40s"));
}

TEST(FindDevice, reads_what_was_written_and_says_what_is_wrong_with_it) {
  const std::string file =
      (std::filesystem::temp_directory_path() / ("device_" + std::to_string(::getpid()) + ".yaml"))
          .string();
  DeviceModel device = round_device();
  device.network_us = 12.5;
  device.overlaps_transfers = false;
  write_device(device, file);
  const DeviceModel again = find_device(file);
  EXPECT_EQ(again.name, "round");
  EXPECT_EQ(again.network_us, 12.5);
  EXPECT_EQ(again.ranks_per_node, 2);
  EXPECT_FALSE(again.overlaps_transfers);
  device.memory_gb_per_s = 0;
  write_device(device, file);
  EXPECT_THAT(test::error_of([&] { find_device(file); }),
              HasSubstr(":9: 'memory_gb_per_s' must be more than 0, got 0"));
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace tandem::launcher
