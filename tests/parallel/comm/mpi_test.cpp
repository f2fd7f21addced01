// Every promise over ranks that are processes. ctest runs it with 2, 4 and 8 ranks, through shared
// memory and (with TANDEM_SHARED_MEMORY=off) through MPI messages, as between machines.
#include <gtest/gtest.h>

#include "tests/parallel/comm/checks.h"
#include "tests/parallel/comm/mpi_main.h"

namespace tandem::parallel::testing {

namespace {

class Mpi : public ::testing::TestWithParam<Check> {};

TEST_P(Mpi, keeps_the_promise) {
  const Group& world = mpi().world();
  world.set_deadline(kTestDeadline);
  GetParam().run(world);
}

std::string case_name(const ::testing::TestParamInfo<Check>& info) {
  return info.param.name;
}

std::vector<Check> checks_for_world() {
  auto checks = all_checks();
  checks.insert(checks.end(), failure_checks().begin(), failure_checks().end());
  return checks;
}

INSTANTIATE_TEST_SUITE_P(promises, Mpi, ::testing::ValuesIn(checks_for_world()), case_name);

TEST(MpiWorld, knows_the_ranks_of_this_machine) {
  EXPECT_EQ(mpi().local_size(), mpi().world().size());
  EXPECT_EQ(mpi().local_rank(), mpi().world().rank());
}

}  // namespace

}  // namespace tandem::parallel::testing
