// Promises of parallel/pipeline/schedule: every micro-batch goes once through every part, ranks
// never wait for each other in a circle, messages arrive in the order in which they were sent, and
// the waiting is what the papers say.
#include "parallel/pipeline/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "parallel/pipeline/simulation.h"
#include "runtime/base/error.h"

namespace tandem::parallel {
namespace {

using ::testing::ElementsAre;
using Kind = PipelineAction::Kind;

std::vector<PipelineShape> shapes() {
  std::vector<PipelineShape> all;
  for (const ScheduleKind kind : {ScheduleKind::kGPipe, ScheduleKind::k1F1B})
    for (const int stages : {1, 2, 3, 4, 8})
      for (const int chunks : {1, 2, 3}) all.push_back({kind, stages, chunks});
  return all;
}

// Multiples of the stages, and what does not divide where the schedule allows it.
std::vector<std::int64_t> micro_batches_for(const PipelineShape& shape) {
  std::vector<std::int64_t> counts = {shape.stages, 3 * shape.stages};
  if (shape.chunks == 1 || shape.kind == ScheduleKind::kGPipe) {
    counts.push_back(1);
    counts.push_back(2 * shape.stages + 1);
  }
  return counts;
}

template <typename Check>
void for_each_schedule(const Check& check) {
  for (const PipelineShape& shape : shapes())
    for (const std::int64_t count : micro_batches_for(shape)) {
      SCOPED_TRACE(::testing::Message()
                   << (shape.kind == ScheduleKind::kGPipe ? "gpipe " : "1f1b ") << shape.stages
                   << " stages, " << shape.chunks << " chunks, " << count << " micro-batches");
      check(shape, count);
    }
}

TEST(PipelineSchedule, every_micro_batch_goes_once_through_every_chunk) {
  for_each_schedule([](const PipelineShape& shape, std::int64_t count) {
    for (int stage = 0; stage < shape.stages; ++stage) {
      std::map<std::tuple<Kind, std::int64_t, int>, int> times;
      for (const PipelineAction& a : pipeline_schedule(shape, stage, count))
        ++times[{a.kind, a.micro_batch, a.chunk}];
      EXPECT_EQ(times.size(), static_cast<std::size_t>(2 * count * shape.chunks));
      for (const auto& [action, n] : times) EXPECT_EQ(n, 1);
    }
  });
}

TEST(PipelineSchedule, ends) {
  for_each_schedule([](const PipelineShape& shape, std::int64_t count) {
    EXPECT_NO_THROW(simulate_pipeline(shape, count, 1, 2));
  });
}

// A rank's messages to the next one, by kind, in the order of sending; and what that one expects.
TEST(PipelineSchedule, messages_are_expected_in_the_order_of_sending) {
  using Message = std::pair<std::int64_t, int>;  // micro-batch, part that sends
  for_each_schedule([](const PipelineShape& shape, std::int64_t count) {
    for (int stage = 0; stage < shape.stages; ++stage) {
      const int next = (stage + 1) % shape.stages;
      std::vector<Message> sent, expected, sent_back, expected_back;
      for (const PipelineAction& a : pipeline_schedule(shape, stage, count)) {
        const int part = a.chunk * shape.stages + stage;
        if (part == shape.parts() - 1) continue;
        (a.kind == Kind::kForward ? sent : expected_back).emplace_back(a.micro_batch, part);
      }
      for (const PipelineAction& a : pipeline_schedule(shape, next, count)) {
        const int part = a.chunk * shape.stages + next;
        if (part == 0) continue;
        (a.kind == Kind::kForward ? expected : sent_back).emplace_back(a.micro_batch, part - 1);
      }
      EXPECT_EQ(sent, expected) << "from stage " << stage;
      EXPECT_EQ(sent_back, expected_back) << "to stage " << stage;
    }
  });
}

// Gradients of a chunk come back in the order in which its micro-batches went out.
TEST(PipelineSchedule, the_oldest_micro_batch_is_differentiated_first) {
  for_each_schedule([](const PipelineShape& shape, std::int64_t count) {
    for (int stage = 0; stage < shape.stages; ++stage)
      for (const Kind kind : {Kind::kForward, Kind::kBackward}) {
        std::map<int, std::int64_t> next;
        for (const PipelineAction& a : pipeline_schedule(shape, stage, count)) {
          if (a.kind != kind) continue;
          EXPECT_EQ(a.micro_batch, next[a.chunk]++);
        }
      }
  });
}

TEST(PipelineSchedule, the_last_part_goes_back_at_once) {
  for_each_schedule([](const PipelineShape& shape, std::int64_t count) {
    const auto actions = pipeline_schedule(shape, shape.stages - 1, count);
    for (std::size_t i = 0; i < actions.size(); ++i) {
      if (actions[i].kind != Kind::kBackward || actions[i].chunk != shape.chunks - 1) continue;
      ASSERT_GT(i, 0u);
      EXPECT_EQ(actions[i - 1],
                (PipelineAction{Kind::kForward, actions[i].micro_batch, shape.chunks - 1}));
    }
  });
}

// Narayanan et al. 2021, section 2.2: the ranks wait for (stages - 1) / chunks micro-batches.
TEST(PipelineSchedule, waits_as_long_as_the_papers_say) {
  for (const int chunks : {1, 2, 4}) {
    const std::int64_t stages = 4, count = 16;
    const PipelineShape shape{ScheduleKind::k1F1B, static_cast<int>(stages), chunks};
    const SimulatedStep step = simulate_pipeline(shape, count, 1.0 / chunks, 2.0 / chunks);
    EXPECT_NEAR(step.seconds, 3.0 * count + 3.0 * (stages - 1) / chunks, 1e-9) << chunks;
    EXPECT_NEAR(step.bubble, 1 - 3.0 * count / step.seconds, 1e-9);
  }
}

TEST(PipelineSchedule, holds_few_micro_batches_where_gpipe_holds_all) {
  EXPECT_THAT(simulate_pipeline({ScheduleKind::k1F1B, 4, 1}, 16, 1, 2).held,
              ElementsAre(4, 3, 2, 1));
  EXPECT_THAT(simulate_pipeline({ScheduleKind::kGPipe, 4, 1}, 16, 1, 2).held,
              ElementsAre(16, 16, 16, 1));
}

TEST(PipelineSchedule, refuses_what_it_cannot_interleave) {
  EXPECT_THROW(pipeline_schedule({ScheduleKind::k1F1B, 4, 2}, 0, 6), runtime::Error);
}

TEST(PipelineSchedule, blocks_are_dealt_in_order_the_larger_parts_first) {
  std::vector<std::pair<std::int64_t, std::int64_t>> parts;
  for (int part = 0; part < 4; ++part) parts.push_back(blocks_of_part(10, 4, part));
  using Range = std::pair<std::int64_t, std::int64_t>;
  EXPECT_THAT(parts, ElementsAre(Range{0, 3}, Range{3, 6}, Range{6, 8}, Range{8, 10}));
}

TEST(PipelineSchedule, a_step_is_as_slow_as_its_slowest_stage_and_its_messages) {
  const PipelineShape shape{ScheduleKind::k1F1B, 2, 1};
  const PipelineSeconds uneven{[](int stage, const PipelineAction& action) {
                                 const double forward = stage == 0 ? 3 : 1;
                                 return action.kind == Kind::kForward ? forward : 2 * forward;
                               },
                               0.5};
  const SimulatedStep one = simulate_pipeline(shape, 1, uneven);
  EXPECT_DOUBLE_EQ(one.seconds, 3 + 0.5 + 1 + 2 + 0.5 + 6);
  EXPECT_DOUBLE_EQ(one.bubble, 1 - (9.0 + 3) / 2 / 13);
  // The first stage has 9 s of work for each micro-batch; only the first one's way is waited for.
  EXPECT_DOUBLE_EQ(simulate_pipeline(shape, 20, uneven).seconds, 20 * 9 + 1);
}

}  // namespace
}  // namespace tandem::parallel
