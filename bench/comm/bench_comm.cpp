// What collectives cost: latency and bandwidth by size, and the processor time that all ranks spend
// together. Where ranks outnumber cores the last is the figure that matters, because the cores have
// other work.
//
//   mpirun --oversubscribe -np 8 bench_comm [milliseconds per row, default 200]
//
// Bandwidth is that of nccl-tests ("bus bandwidth"): bytes times 2(p-1)/p for an all-reduce,
// (p-1)/p for a reduce-scatter or an all-gather of that many bytes in total, 1 for a broadcast.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "parallel/comm/mpi/mpi.h"
#include "runtime/base/error.h"

namespace {

using tandem::parallel::Group;
using tandem::parallel::ReduceOp;
using tandem::runtime::DType;
using tandem::runtime::Tensor;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// Repeats `call` for about `budget` seconds and prints a row.
void measure(const Group& group, const char* name, std::int64_t bytes, double bus_factor,
             double budget, const std::function<void()>& call) {
  for (int i = 0; i < 5; ++i) call();
  group.barrier("measure");
  const double trial = seconds_now();
  for (int i = 0; i < 5; ++i) call();
  const double once = group.all_reduce_scalar((seconds_now() - trial) / 5, ReduceOp::kMax, "trial");
  const int repeats = std::max(5, static_cast<int>(budget / once));

  group.barrier("measure");
  const double cpu = cpu_seconds(), start = seconds_now();
  for (int i = 0; i < repeats; ++i) call();
  const double elapsed =
      group.all_reduce_scalar((seconds_now() - start) / repeats, ReduceOp::kMax, "elapsed");
  const double cpu_of_all =
      group.all_reduce_scalar((cpu_seconds() - cpu) / repeats, ReduceOp::kSum, "cpu");
  if (group.rank() == 0)
    std::printf("%-16s %10lld %12.1f %12.2f %14.1f\n", name, static_cast<long long>(bytes),
                1e6 * elapsed, 1e-9 * bus_factor * static_cast<double>(bytes) / elapsed,
                1e6 * cpu_of_all);
}

void run_table(const Group& group, double budget) {
  const double p = group.size();
  if (group.rank() == 0)
    std::printf("%-16s %10s %12s %12s %14s\n", "collective", "bytes", "us", "bus GB/s",
                "cpu us, all");
  measure(group, "barrier", 0, 0, budget, [&] { group.barrier("barrier"); });
  for (const std::int64_t bytes :
       {8L, 4L << 10, 16L << 10, 64L << 10, 256L << 10, 512L << 10, 4L << 20, 32L << 20}) {
    const std::int64_t count = bytes / 4;
    Tensor tensor = Tensor::zeros({count}, DType::kF32);
    measure(group, "all_reduce", bytes, 2 * (p - 1) / p, budget,
            [&] { group.all_reduce(tensor, ReduceOp::kSum, "all_reduce").wait(); });
  }
  for (const std::int64_t bytes : {16L << 10, 256L << 10, 4L << 20}) {
    const std::int64_t part = bytes / 2 / group.size();
    Tensor whole = Tensor::zeros({part * group.size()}, DType::kBF16);
    Tensor own = Tensor::zeros({part}, DType::kBF16);
    measure(group, "all_reduce bf16", bytes, 2 * (p - 1) / p, budget,
            [&] { group.all_reduce(whole, ReduceOp::kSum, "all_reduce bf16").wait(); });
    measure(group, "reduce_scatter", bytes, (p - 1) / p, budget,
            [&] { group.reduce_scatter(whole, own, ReduceOp::kSum, "reduce_scatter").wait(); });
    measure(group, "all_gather", bytes, (p - 1) / p, budget,
            [&] { group.all_gather(own, whole, "all_gather").wait(); });
    measure(group, "broadcast", bytes, 1, budget,
            [&] { group.broadcast(whole, 0, "broadcast").wait(); });
    if (group.size() % 2 == 0)
      measure(group, "send/recv pairs", bytes, 1, budget, [&] {
        const int peer = group.rank() ^ 1;
        if (group.rank() % 2 == 0) {
          group.send(whole, peer, "ping").wait();
          group.recv(whole, peer, "pong").wait();
        } else {
          group.recv(whole, peer, "ping").wait();
          group.send(whole, peer, "pong").wait();
        }
      });
  }
  // Tensor parallelism beside data parallelism: every pair of ranks at once.
  if (group.size() >= 4 && group.size() % 2 == 0) {
    const Group pair = group.split(group.rank() / 2, "pair");
    for (const std::int64_t bytes : {64L << 10, 512L << 10}) {
      Tensor tensor = Tensor::zeros({bytes / 4}, DType::kF32);
      measure(group, "all_reduce pairs", bytes, 1, budget,
              [&] { pair.all_reduce(tensor, ReduceOp::kSum, "pairs").wait(); });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tandem::parallel::MpiRuntime mpi(&argc, &argv);
    run_table(mpi.world(), 1e-3 * (argc > 1 ? std::atof(argv[1]) : 200));
    return 0;
  } catch (const tandem::runtime::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
}
