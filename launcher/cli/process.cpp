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

#include "parallel/comm/mpi/mpi.h"
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

int report(parallel::MpiRuntime& mpi, const Failure& failure) {
  const parallel::Group& world = mpi.world();
  if (world.rank() != 0) std::this_thread::sleep_for(kWaitForFirstRank);
  const std::string line = world.rank() == 0
                               ? fmt::format("trainer: {}\n", failure.line)
                               : fmt::format("trainer: rank {}: {}\n", world.rank(), failure.line);
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  if (world.size() > 1) mpi.abort(failure.exit_code);
  return failure.exit_code;
}

}  // namespace

bool speaks_for_all() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const char* rank = std::getenv(name)) return std::string_view(rank) == "0";
  return true;
}

int run_process(int* argc, char*** argv,
                const std::function<void(const parallel::Group& world)>& command) {
  parallel::MpiRuntime mpi(argc, argv);
  runtime::configure_logging(mpi.world().rank(), mpi.world().size());
  divide_cores(mpi.local_size());
  try {
    command(mpi.world());
    return 0;
  } catch (...) {
    return report(mpi, describe_current_exception());
  }
}

}  // namespace tandem::launcher
