#include "launcher/cli/process.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <thread>

#include "parallel/comm/launched.h"
#include "parallel/comm/mpi/mpi.h"
#include "parallel/comm/processes/processes.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"

namespace tandem::launcher {

namespace {

constexpr int kUserMustActExit = 2;
constexpr int kInternalErrorExit = 70;

// An error that all ranks meet is reported by rank 0; the others speak only if it does not end the
// job within this time.
constexpr std::chrono::seconds kWaitForFirstRank{3};

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

// The ranks of a machine share its cores, unless the user has said otherwise.
void divide_cores(int ranks_here) {
  if (std::getenv("OMP_NUM_THREADS") == nullptr)
    omp_set_num_threads(std::max(1, usable_cores() / ranks_here));
}

struct Failure {
  int exit_code;
  std::string line;
};

Failure describe_current_exception() {
  try {
    throw;
  } catch (const runtime::Error& error) {
    return {error.exit_code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {kUserMustActExit,
            "out of memory; lower micro_batch_size, set recompute: full, or use more ranks per "
            "model (tensor_parallel)"};
  } catch (const std::exception& error) {
    return {kInternalErrorExit, std::string("internal error: ") + error.what()};
  }
}

// One process among the ranks.
struct Rank {
  parallel::Group world;
  int ranks_here = 1;  // on this machine
  // Ends all ranks; where it returns, whoever started them sees the exit code and does.
  std::function<void(int exit_code)> abort = [](int) {};
};

int report(const Rank& rank, const Failure& failure) {
  const int number = rank.world.rank();
  if (number != 0) std::this_thread::sleep_for(kWaitForFirstRank);
  const std::string line = number == 0
                               ? fmt::format("trainer: {}\n", failure.line)
                               : fmt::format("trainer: rank {}: {}\n", number, failure.line);
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  if (rank.world.size() > 1) rank.abort(failure.exit_code);
  return failure.exit_code;
}

using RankCommand = std::function<void(const parallel::Group& world)>;

int run_rank(const Rank& rank, const RankCommand& command) {
  runtime::configure_logging(rank.world.rank(), rank.world.size());
  divide_cores(rank.ranks_here);
  try {
    command(rank.world);
    return 0;
  } catch (...) {
    return report(rank, describe_current_exception());
  }
}

}  // namespace

bool speaks_for_all() {
  const char* rank = parallel::rank_from_launcher();
  return rank == nullptr || std::string_view(rank) == "0";
}

int run_process(int* argc, char*** argv, std::optional<int> ranks, const RankCommand& command) {
  if (ranks && parallel::launched_as_one_of_many()) {
    if (speaks_for_all())
      std::fputs("trainer: --ranks starts the ranks by itself: leave out mpirun or srun\n", stderr);
    return kUserMustActExit;
  }
  if (ranks && *ranks > 1)
    return parallel::run_ranks_as_processes(*ranks, [&](const parallel::Group& world) {
      return run_rank({.world = world, .ranks_here = *ranks}, command);
    });
  if (ranks || parallel::rank_from_launcher() == nullptr) return run_rank({}, command);
  parallel::MpiRuntime mpi(argc, argv);
  return run_rank({mpi.world(), mpi.local_size(), [&](int exit_code) { mpi.abort(exit_code); }},
                  command);
}

}  // namespace tandem::launcher
