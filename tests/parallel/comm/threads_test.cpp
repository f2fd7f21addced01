// Every promise over ranks that are threads, and what only they can show: a rank that throws
// releases the others.
#include "parallel/comm/threads/threads.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/parallel/comm/checks.h"

namespace tandem::parallel::testing {

namespace {

class Threads : public ::testing::TestWithParam<std::tuple<int, Check>> {};

TEST_P(Threads, keep_the_promise) {
  const auto& [ranks, check] = GetParam();
  run_ranks_as_threads(ranks, [&check = check](const Group& world) {
    world.set_deadline(kTestDeadline);
    check.run(world);
  });
}

std::string case_name(const ::testing::TestParamInfo<std::tuple<int, Check>>& info) {
  return std::get<1>(info.param).name + "_" + std::to_string(std::get<0>(info.param));
}

INSTANTIATE_TEST_SUITE_P(promises, Threads,
                         ::testing::Combine(::testing::Values(1, 2, 3, 4),
                                            ::testing::ValuesIn(all_checks())),
                         case_name);
INSTANTIATE_TEST_SUITE_P(failures, Threads,
                         ::testing::Combine(::testing::Values(2, 4),
                                            ::testing::ValuesIn(failure_checks())),
                         case_name);

TEST(ThreadWorld, a_rank_that_throws_releases_the_others) {
  std::atomic<int> released = 0;
  const auto run = [&] {
    run_ranks_as_threads(4, [&](const Group& world) {
      if (world.rank() == 2) runtime::throw_error("rank two is tired");
      try {
        world.barrier("in vain");
      } catch (const runtime::Error& error) {
        EXPECT_STREQ(
            error.what(),
            fmt::format("rank {} waits in vain for barrier 'in vain' (0 bytes, number 0 of group "
                        "'world'): rank 2 has failed",
                        world.rank())
                .c_str());
        ++released;
        throw;
      }
    });
  };
  try {
    run();
    ADD_FAILURE() << "no error";
  } catch (const runtime::Error& error) {
    EXPECT_STREQ(error.what(), "rank two is tired");
  }
  EXPECT_EQ(released, 3);
}

TEST(ThreadWorld, ranks_that_call_different_collectives_are_told) {
  try {
    run_ranks_as_threads(2, [](const Group& world) {
      runtime::Tensor tensor = runtime::Tensor::zeros({4}, runtime::DType::kF32);
      world.all_reduce(tensor, ReduceOp::kSum, world.rank() == 0 ? "first" : "second").wait();
    });
    ADD_FAILURE() << "no error";
  } catch (const runtime::InternalError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("collective number 0 of group 'world' differs between ranks"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("rank 0 calls all_reduce 'first' of 16 bytes (fp32)"), std::string::npos)
        << text;
    EXPECT_NE(text.find("rank 1 calls all_reduce 'second' of 16 bytes (fp32)"), std::string::npos)
        << text;
  }
}

}  // namespace

}  // namespace tandem::parallel::testing
