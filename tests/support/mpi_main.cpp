// main of test programs that run under mpirun: every rank runs every test; ranks other than 0 print
// failures only.
#include "tests/support/mpi_main.h"

#include <gtest/gtest.h>

namespace tandem::test {
namespace {
const parallel::MpiRuntime* runtime_of_this_process = nullptr;
}

const parallel::Group& world() {
  return runtime_of_this_process->world();
}

}  // namespace tandem::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  tandem::parallel::MpiRuntime mpi(&argc, &argv);
  tandem::test::runtime_of_this_process = &mpi;
  if (mpi.world().rank() != 0)
    delete testing::UnitTest::GetInstance()->listeners().Release(
        testing::UnitTest::GetInstance()->listeners().default_result_printer());
  const int failed = RUN_ALL_TESTS();
  // A rank that failed fails the job, whatever the others say.
  return mpi.world().all_reduce_scalar(std::int64_t{failed}, tandem::parallel::ReduceOp::kMax,
                                       "test result") == 0
             ? 0
             : 1;
}
