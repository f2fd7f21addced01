#include "rl/rollout.h"

#include <gtest/gtest.h>

#include "rl/roles.h"
#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

Rollout sample() {
  return {.id = 7,
          .prompt = {5, 6},
          .response = {10, 11, 2, 12},
          .log_probs = {-1, -2, -3, -4},
          .ref_log_probs = {-1.5, -2.5, -3.5, -4.5},
          .values = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f},
          .score = 1.25f};
}

TEST(TruncateAtEos, keeps_the_first_eos_and_the_state_after_it) {
  Rollout rollout = sample();
  truncate_at_eos(rollout, 2);
  EXPECT_TRUE(rollout.ended_with_eos);
  EXPECT_EQ(rollout.response, (std::vector<std::int32_t>{10, 11, 2}));
  EXPECT_EQ(rollout.log_probs, (std::vector<float>{-1, -2, -3}));
  EXPECT_EQ(rollout.ref_log_probs.size(), 3u);
  EXPECT_EQ(rollout.values, (std::vector<float>{0.1f, 0.2f, 0.3f, 0.4f}));
}

TEST(TruncateAtEos, leaves_a_response_without_eos_alone) {
  Rollout rollout = sample();
  truncate_at_eos(rollout, 99);
  EXPECT_FALSE(rollout.ended_with_eos);
  EXPECT_EQ(rollout, sample());
}

TEST(TruncateAtEos, an_eos_at_the_very_end_is_an_end) {
  Rollout rollout = sample();
  truncate_at_eos(rollout, 12);
  EXPECT_TRUE(rollout.ended_with_eos);
  EXPECT_EQ(rollout.response.size(), 4u);
}

TEST(StepCount, has_a_step_after_the_last_token_only_below_the_limit) {
  EXPECT_EQ(step_count(3, 12, FinalStep::kAfterLastToken), 4u);
  EXPECT_EQ(step_count(12, 12, FinalStep::kAfterLastToken), 12u);
  EXPECT_EQ(step_count(3, 12, FinalStep::kLastToken), 3u);
  EXPECT_THROW(step_count(13, 12, FinalStep::kLastToken), runtime::InternalError);
}

TEST(PackRollouts, round_trips_every_field) {
  Rollout empty;
  Rollout full = sample();
  full.ended_with_eos = true;
  const std::vector<Rollout> rollouts = {full, empty};
  const std::string bytes = pack_rollouts(rollouts);
  EXPECT_EQ(unpack_rollouts(bytes), rollouts);
  EXPECT_EQ(pack_rollouts(unpack_rollouts(bytes)), bytes);
}

TEST(PackRollouts, damaged_bytes_are_refused_at_every_length) {
  const std::string bytes = pack_rollouts(std::vector<Rollout>{sample()});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(unpack_rollouts(std::string_view(bytes).substr(0, size)), runtime::Error) << size;
  }
  EXPECT_THROW(unpack_rollouts(bytes + "x"), runtime::Error);
  // A length that claims more than there is must not be allocated.
  std::string huge = bytes;
  for (int i = 24; i < 31; ++i) huge[static_cast<std::size_t>(i)] = '\xff';
  EXPECT_THROW(unpack_rollouts(huge), runtime::Error);
}

TEST(SequenceBatch, joins_prompt_and_response_of_the_chosen_samples) {
  Rollout other = sample();
  other.prompt = {1};
  other.response = {3};
  const std::vector<Rollout> rollouts = {sample(), other};
  const std::vector<std::int64_t> chosen = {1, 0};
  const SequenceBatch batch = sequence_batch(rollouts, chosen);
  EXPECT_EQ(batch.tokens[0], (std::vector<std::int32_t>{1, 3}));
  EXPECT_EQ(batch.tokens[1], (std::vector<std::int32_t>{5, 6, 10, 11, 2, 12}));
  EXPECT_EQ(batch.response_length(0), 1u);
  EXPECT_EQ(batch.response_length(1), 4u);
  batch.validate();
}

TEST(SequenceBatch, lengths_that_do_not_fit_name_the_sequence) {
  SequenceBatch batch{.tokens = {{1, 2, 3}, {4}}, .prompt_lengths = {1, 1}};
  try {
    batch.validate();
    FAIL() << "accepted";
  } catch (const runtime::Error& error) {
    EXPECT_NE(std::string(error.what()).find("sequence 1 has 1 tokens and a prompt of 1"),
              std::string::npos)
        << error.what();
  }
}

TEST(CriticTrainRequest, counts_that_do_not_fit_are_refused) {
  CriticTrainRequest request{.batch = {.tokens = {{1, 2, 3}}, .prompt_lengths = {1}},
                             .returns = {{0, 0}},
                             .old_values = {{0, 0}}};
  request.validate();
  request.returns = {{0, 0, 0}};
  EXPECT_THROW(request.validate(), runtime::Error);  // a return without an old value
  request.old_values = {{0, 0, 0}};
  request.validate();
  request.returns = {{0}};
  EXPECT_THROW(request.validate(), runtime::Error);
}

}  // namespace
}  // namespace tandem::rl
