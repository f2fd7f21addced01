// A job of which one rank fails, as failing_rank_test.sh starts it: mpirun … failing_rank HOW, with
// HOW one of
//   killed    the last rank is killed as by the system
//   throws    the last rank ends with an error of its own
//   stalled   the last rank calls no more collectives
//   apart     the last rank calls another collective than the rest
// The other ranks are in the middle of collectives.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "parallel/comm/mpi/mpi.h"

namespace {

using tandem::parallel::Group;
using tandem::parallel::ReduceOp;
using tandem::runtime::Tensor;

void fail(std::string_view how, const Group& tp) {
  if (how == "killed") raise(SIGKILL);
  if (how == "throws") tandem::runtime::throw_error("this rank's file is missing; restore it");
  if (how == "stalled") pause();
  if (how == "apart") tp.all_reduce_scalar(1.0, ReduceOp::kSum, "another");
}

void run(std::string_view how, const Group& world) {
  const Group tp = world.split(0, "tp");
  tp.set_deadline(how == "stalled" ? std::chrono::seconds(1) : std::chrono::seconds(60));
  Tensor tensor = Tensor::zeros({5000}, tandem::runtime::DType::kF32);
  for (int step = 0; step < 100; ++step) {
    if (step == 7 && world.rank() == world.size() - 1) fail(how, tp);
    tp.all_reduce(tensor, ReduceOp::kSum, "layers.3.down").wait();
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tandem::parallel::MpiRuntime mpi(&argc, &argv);
    run(argc > 1 ? argv[1] : "", mpi.world());
    return 0;
  } catch (const tandem::runtime::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "internal error: %s\n", error.what());
    return 1;
  }
}
