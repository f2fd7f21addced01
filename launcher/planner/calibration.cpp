#include "launcher/planner/calibration.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <vector>

#include "parallel/comm/threads/threads.h"
#include "runtime/kernels/backend.h"
#include "runtime/kernels/kernel_work.h"

namespace tandem::launcher {

using parallel::Group;
using parallel::ReduceOp;
using runtime::backend_of;
using runtime::DType;
using runtime::Tensor;

namespace {

// Ranks that are measured; more share the cores in the same way.
constexpr int kMostRanks = 8;
constexpr double kSecondsEach = 0.06;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of one call, the median over several, while the group's other ranks do the same.
double seconds_of(const Group& ranks, const std::function<void()>& call) {
  for (int i = 0; i < 2; ++i) call();
  ranks.barrier("measure");
  std::vector<double> seconds;
  // As often on every rank: a call may be a collective.
  const double first = now();
  call();
  const double once = ranks.all_reduce_scalar(now() - first, ReduceOp::kMax, "measure");
  const int calls = std::clamp(static_cast<int>(kSecondsEach / once), 3, 200);
  for (int i = 0; i < calls; ++i) {
    const double begin = now();
    call();
    seconds.push_back(now() - begin);
  }
  std::ranges::nth_element(seconds, seconds.begin() + calls / 2);
  return ranks.all_reduce_scalar(seconds[static_cast<std::size_t>(calls / 2)], ReduceOp::kSum,
                                 "measure") /
         ranks.size();
}

// overhead + amount / rate, through two measurements.
struct Line {
  double overhead, rate;
};
Line line_through(double amount, double seconds, double more, double more_seconds) {
  const double slope = std::max((more_seconds - seconds) / (more - amount), 1e-18);
  return {std::max(0.0, seconds - slope * amount), 1 / slope};
}

double matmul_seconds(const Group& ranks, DType dtype, std::int64_t m, std::int64_t n,
                      std::int64_t k) {
  const Tensor a = Tensor::zeros({m, k}, dtype), b = Tensor::zeros({n, k}, dtype);
  Tensor out = Tensor::empty({m, n}, dtype);
  return seconds_of(ranks, [&] { backend_of(out).matmul(a, false, b, true, out); });
}

double matmul_tflops(const Group& ranks, DType dtype) {
  constexpr std::int64_t kRows = 512, kWidth = 768;
  const double operations = 2.0 * kRows * kWidth * kWidth;
  return 1e-12 * operations / matmul_seconds(ranks, dtype, kRows, kWidth, kWidth);
}

double attention_tflops(const Group& ranks, DType dtype) {
  constexpr std::int64_t kLength = 256, kHeads = 4, kHeadDim = 64;
  const Tensor qkv = Tensor::zeros({kLength, 3 * kHeads * kHeadDim}, dtype);
  Tensor out = Tensor::empty({kLength, kHeads * kHeadDim}, dtype);
  Tensor lse = Tensor::empty({kHeads, kLength}, DType::kF32);
  const std::vector<std::int32_t> borders = {0, kLength};
  const runtime::AttentionShape shape{.cu_seqlens_q = borders, .cu_seqlens_k = borders};
  const auto part = [&](std::int64_t index) {
    return runtime::HeadsView{qkv, index * kHeads * kHeadDim, kHeads, kHeadDim};
  };
  const double seconds = seconds_of(ranks, [&] {
    backend_of(out).attention_forward(part(0), part(1), part(2), shape, out, lse);
  });
  return 1e-12 * 4 * visible_pairs(shape) * kHeads * kHeadDim / seconds;
}

// Bytes per second of a sum, and what a call takes besides.
Line memory(const Group& ranks) {
  constexpr std::int64_t kFew = 1 << 10, kMany = 1 << 20;
  const auto seconds = [&](std::int64_t elements) {
    const Tensor a = Tensor::zeros({elements}, DType::kF32),
                 b = Tensor::zeros({elements}, DType::kF32);
    Tensor out = Tensor::empty({elements}, DType::kF32);
    return seconds_of(ranks, [&] { backend_of(out).add(a, b, out); });
  };
  return line_through(12.0 * kFew, seconds(kFew), 12.0 * kMany, seconds(kMany));
}

double elementwise_tflops(const Group& ranks) {
  constexpr std::int64_t kRows = 256, kWidth = 256;
  const Tensor gate_up = Tensor::zeros({kRows, 2 * kWidth}, DType::kF32);
  Tensor out = Tensor::empty({kRows, kWidth}, DType::kF32);
  const double seconds = seconds_of(ranks, [&] { backend_of(out).swiglu_forward(gate_up, out); });
  return 1e-12 * 16 * static_cast<double>(kRows * kWidth) / seconds;
}

// Bytes per second that an all-reduce moves from a rank to others, and its latency.
Line links(const Group& ranks) {
  constexpr std::int64_t kFew = 1 << 10, kMany = 1 << 20;
  const auto seconds = [&](std::int64_t elements) {
    Tensor tensor = Tensor::zeros({elements}, DType::kF32);
    return seconds_of(ranks, [&] { ranks.all_reduce(tensor, ReduceOp::kSum, "measure").wait(); });
  };
  const double moved = 2 * 4 * (ranks.size() - 1.0) / ranks.size();
  return line_through(moved * kFew, seconds(kFew), moved * kMany, seconds(kMany));
}

void measure(const Group& ranks, DeviceModel& device) {
  device.bf16_tflops = matmul_tflops(ranks, DType::kBF16);
  device.fp32_tflops = matmul_tflops(ranks, DType::kF32);
  device.bf16_attention_tflops = attention_tflops(ranks, DType::kBF16);
  device.fp32_attention_tflops = attention_tflops(ranks, DType::kF32);
  device.elementwise_tflops = elementwise_tflops(ranks);
  const Line bandwidth = memory(ranks);
  device.memory_gb_per_s = 1e-9 * bandwidth.rate;
  device.kernel_us = 1e6 * bandwidth.overhead;
  if (ranks.size() == 1) return;
  const Line link = links(ranks);
  device.node_gb_per_s = 1e-9 * link.rate;
  // An all-reduce is two exchanges (DeviceModel::seconds).
  device.node_us = 1e6 * link.overhead / (2 * std::ceil(std::log2(ranks.size())));
}

}  // namespace

DeviceModel measure_this_machine(int ranks) {
  const int cores = std::max(1, omp_get_num_procs()), measured = std::min(ranks, kMostRanks);
  const int threads = std::getenv("OMP_NUM_THREADS") != nullptr ? omp_get_max_threads()
                                                                : std::max(1, cores / ranks);
  DeviceModel device{.name = "this machine",
                     .ranks_per_node = ranks,
                     .node_gb_per_s = 1,
                     .network_gb_per_s = 1,
                     .overlaps_transfers = false,
                     .ranks_per_core = std::max(1.0, static_cast<double>(ranks) * threads / cores)};
  parallel::run_ranks_as_threads(measured, [&](const Group& world) {
    omp_set_num_threads(threads);
    DeviceModel own = device;
    measure(world, own);
    if (world.rank() == 0) device = own;
  });
  return device;
}

}  // namespace tandem::launcher
