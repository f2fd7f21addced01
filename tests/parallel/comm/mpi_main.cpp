#include "tests/parallel/comm/mpi_main.h"

#include <gtest/gtest.h>

#include "runtime/base/log.h"

namespace tandem::parallel::testing {

namespace {

MpiRuntime* runtime_of_main = nullptr;

// Ranks other than 0 speak only of failures, with their rank.
class RankedFailures : public ::testing::EmptyTestEventListener {
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (result.failed())
      runtime::log_error("{}:{}: {}", result.file_name() ? result.file_name() : "",
                         result.line_number(), result.message());
  }
};

}  // namespace

MpiRuntime& mpi() {
  return *runtime_of_main;
}

}  // namespace tandem::parallel::testing

int main(int argc, char** argv) {
  using namespace tandem;
  testing::InitGoogleTest(&argc, argv);
  try {
    parallel::MpiRuntime mpi(&argc, &argv);
    parallel::testing::runtime_of_main = &mpi;
    runtime::configure_logging(mpi.world().rank(), mpi.world().size());
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    if (mpi.world().rank() > 0) {
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new parallel::testing::RankedFailures);
    }
    const int failed = RUN_ALL_TESTS();
    if (failed != 0) mpi.abort(failed);
    return 0;
  } catch (const std::exception& error) {
    runtime::log_error("{}", error.what());
    return 1;
  }
}
