// Which device a rank gets, and what is said where there is none.
#include <gmock/gmock.h>

#include "parallel/comm/device/choice.h"
#include "parallel/comm/threads/threads.h"
#include "runtime/base/error.h"
#include "runtime/device/cuda_support.h"

namespace tandem::parallel {
namespace {

using ::testing::HasSubstr;

std::string device_of(const char* key, int local_rank, int cards) {
  try {
    return device_of_rank(parse_device_choice(key), local_rank, cards, "no driver was found").str();
  } catch (const runtime::Error& error) {
    return error.what();
  }
}

TEST(Device, auto_is_a_card_for_each_rank_or_the_cpu) {
  EXPECT_EQ(device_of("auto", 0, 0), "cpu");
  EXPECT_EQ(device_of("auto", 0, 8), "cuda:0");
  EXPECT_EQ(device_of("auto", 7, 8), "cuda:7");
  EXPECT_EQ(device_of("cpu", 3, 8), "cpu");
}

TEST(Device, ranks_take_turns_on_fewer_cards) {
  EXPECT_EQ(device_of("cuda", 2, 2), "cuda:0");
  EXPECT_EQ(device_of("auto", 5, 2), "cuda:1");
}

TEST(Device, a_numbered_card_is_for_all_ranks) {
  EXPECT_EQ(device_of("cuda:1", 0, 2), "cuda:1");
  EXPECT_EQ(device_of("cuda:1", 5, 2), "cuda:1");
  EXPECT_EQ(device_of("cuda:2", 0, 2),
            "'device' asks for cuda:2, but this machine has 2 GPUs (cuda:0 is the first)");
}

TEST(Device, asked_for_and_not_there_says_what_is_missing) {
  for (const char* key : {"cuda", "cuda:0"})
    EXPECT_EQ(device_of(key, 0, 0),
              "'device' asks for a GPU, but no driver was found; set device: cpu, or auto to use "
              "GPUs where there are any");
}

TEST(Device, other_words_are_refused) {
  for (const char* key : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU"})
    EXPECT_THAT(
        device_of(key, 0, 1),
        HasSubstr("'device' must be auto, cpu, cuda or cuda:N (N = 0 for the first GPU), got '"));
}

TEST(Device, of_a_run_follows_the_rank_on_its_machine) {
  run_ranks_as_threads(3, [](const Group& world) {
    EXPECT_EQ(choose_device("cpu", "my.yaml:2", world), runtime::Device{});
    if (runtime::cuda_device_count() > 0) {
      EXPECT_EQ(choose_device("auto", "my.yaml:2", world).index,
                world.rank() % runtime::cuda_device_count());
      return;
    }
    EXPECT_EQ(choose_device("auto", "my.yaml:2", world), runtime::Device{});
    try {
      choose_device("cuda", "my.yaml:2", world);
      ADD_FAILURE() << "no error";
    } catch (const runtime::Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("my.yaml:2: 'device' asks for a GPU, but "));
      EXPECT_THAT(error.what(), HasSubstr(runtime::cuda_absence()));
    }
  });
}

}  // namespace
}  // namespace tandem::parallel
