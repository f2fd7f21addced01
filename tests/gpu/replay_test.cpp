// Repeated work on a card: recorded and replayed it gives what it gives call by call, with other
// values in the same tensors; what cannot be recorded goes on as it is.
#include "tests/gpu/replay_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/generation/generate.h"
#include "tests/gpu/card_test.h"
#include "tests/support/tiny_training.h"

namespace tandem::test {
namespace {

using runtime::Backend;
using runtime::DType;
using runtime::Tensor;

constexpr std::int64_t kRows = 5, kWidth = 48;

Tensor values(std::int64_t rows, std::int64_t columns, const char* purpose,
              std::uint64_t turn = 0) {
  const runtime::Philox random(turn, purpose);
  std::vector<float> numbers(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = random.uniform(i) - 0.5f;
  return Tensor::from(numbers, {rows, columns}, kCard);
}

class Replays : public CardTest {
 protected:
  void SetUp() override {
    CardTest::SetUp();
    if (IsSkipped()) return;
    card_ = &runtime::backend_of(kCard);
    x_ = values(kRows, kWidth, "x");
    weight_ = values(kWidth, kWidth, "weight");
    out_ = Tensor::empty({kRows, kWidth}, DType::kF32, kCard);
    sums_ = Tensor::empty({kWidth}, DType::kF32, kCard);
    replay_ = card_->make_replay();
  }

  // A product, what comes behind it, and sums that go by way of scratch memory.
  void step() {
    ++calls_;
    Tensor h = empty_like(x_), y = empty_like(x_);
    card_->matmul(x_, false, weight_, true, h);
    card_->gelu_forward(h, true, y);
    card_->add(y, x_, out_);
    card_->column_sum(out_, sums_, false);
  }
  std::vector<float> results() {
    std::vector<float> all = out_.to_vector<float>();
    for (const float sum : sums_.to_vector<float>()) all.push_back(sum);
    return all;
  }
  // x changes; what the replay gives is what the calls give.
  void expect_right(std::uint64_t turn) {
    card_->copy(values(kRows, kWidth, "x", turn), x_);
    step();
    --calls_;
    const std::vector<float> expected = results();
    card_->fill(out_, -1);
    card_->fill(sums_, -1);
    replay_->run([this] { step(); });
    EXPECT_EQ(results(), expected) << "turn " << turn;
  }

  Backend* card_ = nullptr;
  Tensor x_, weight_, out_, sums_;
  std::unique_ptr<runtime::Replay> replay_;
  int calls_ = 0;
};

TEST_F(Replays, do_the_work_again_with_other_values) {
  const int before = graphs_submitted();
  for (std::uint64_t turn = 1; turn <= 5; ++turn) expect_right(turn);
  EXPECT_EQ(calls_, 2) << "one call to prepare, one to record";
  if (before >= 0) {
    EXPECT_EQ(graphs_submitted() - before, 4);
  }
}

// Tensors that others make meanwhile are not where a replay writes.
TEST_F(Replays, leave_the_memory_of_others_alone) {
  for (std::uint64_t turn = 1; turn <= 3; ++turn) expect_right(turn);
  std::vector<Tensor> others;
  for (int i = 0; i < 8; ++i) others.push_back(Tensor::zeros({kRows, kWidth}, DType::kF32, kCard));
  expect_right(4);
  for (const Tensor& other : others) EXPECT_THAT(other.to_vector<float>(), testing::Each(0.0f));
}

TEST_F(Replays, are_recorded_again_when_a_workspace_has_moved) {
  for (std::uint64_t turn = 1; turn <= 3; ++turn) expect_right(turn);
  const Tensor wide = Tensor::zeros({4096, 512}, DType::kF32, kCard);
  Tensor sum = Tensor::empty({512}, DType::kF32, kCard);
  card_->column_sum(wide, sum, false);  // needs more scratch memory
  for (std::uint64_t turn = 4; turn <= 5; ++turn) expect_right(turn);
  EXPECT_EQ(calls_, 3);
}

TEST_F(Replays, of_work_that_reads_from_the_host_are_calls) {
  const Tensor table = values(3, kWidth, "table");
  for (std::int32_t row = 0; row < 3; ++row) {
    Tensor found = Tensor::empty({1, kWidth}, DType::kF32, kCard);
    replay_->run([&] {
      card_->gather_rows(table, Tensor::from(std::vector<std::int32_t>{row}, {1}, kCard), found);
    });
    EXPECT_EQ(found.to_vector<float>(), table.rows(row, 1).to_vector<float>()) << row;
  }
  expect_right(1);
}

TEST_F(Replays, leave_the_card_usable_when_the_work_throws) {
  const auto failing = [&] {
    card_->scale(x_, 2.0f);
    throw std::runtime_error("stopped");
  };
  replay_->run([] {});
  EXPECT_THROW(replay_->run(failing), std::runtime_error);
  replay_ = card_->make_replay();
  for (std::uint64_t turn = 1; turn <= 3; ++turn) expect_right(turn);
}

TEST_F(Replays, are_calls_where_graphs_are_switched_off) {
  card_->set_options({.graphs = false});
  replay_ = card_->make_replay();
  for (std::uint64_t turn = 1; turn <= 3; ++turn) expect_right(turn);
  EXPECT_EQ(calls_, 3);
}

// ---- decoding

// Lengths are read where the replay finds them: of texts that one block reads, and of those that
// several do.
TEST_F(Replays, of_attention_to_a_cache_see_how_long_texts_have_become) {
  const std::int64_t rows = 2, capacity = 600, heads = 4, kv_heads = 2, size = 8;
  const Tensor queries = values(rows, heads * size, "queries");
  const runtime::KvCacheView cache{
      values(rows * capacity, kv_heads * size, "keys").view({rows, capacity, kv_heads, size}),
      values(rows * capacity, kv_heads * size, "values").view({rows, capacity, kv_heads, size})};
  const std::vector<std::int32_t> slots = {1, 0};
  std::vector<std::int32_t> lengths = {1, 1};
  const Tensor slots_on_card = Tensor::from(slots, {rows}, kCard);
  Tensor lengths_on_card = Tensor::from(lengths, {rows}, kCard),
         out = Tensor::empty({rows, heads * size}, DType::kF32, kCard);
  const auto attend = [&] {
    card_->attention_decode({queries, 0, heads, size}, cache, {slots, slots_on_card},
                            {lengths, lengths_on_card}, 0.3f, 0, {}, out);
  };
  for (const std::int32_t length : {100, 128, 129, 500, 600, 3}) {
    lengths = {length, length / 2 + 1};
    card_->copy(Tensor::from(lengths, {rows}), lengths_on_card);
    attend();
    const std::vector<float> expected = out.to_vector<float>();
    card_->fill(out, -1);
    replay_->run(attend);
    EXPECT_EQ(out.to_vector<float>(), expected) << length << " keys";
  }
}

std::vector<models::Generated> decoded(models::Model& model, bool graphs) {
  runtime::backend_of(kCard).set_options({.graphs = graphs});
  const std::vector<std::vector<std::int32_t>> prompts{{1, 2, 3}, {4}, {5, 6}, {7, 8}};
  const std::vector<std::int64_t> ids{0, 1, 2, 3};
  models::GenerateOptions options;
  options.max_new_tokens = 14;
  options.batch_size = 3;
  // Texts end one after the other, so that steps of several widths take turns.
  options.stops = [](std::size_t prompt, std::span<const std::int32_t> written) {
    return written.size() >= 5 + 4 * prompt;
  };
  return models::generate(model, prompts, ids, options);
}

TEST_F(Replays, of_decoding_steps_write_the_same_texts) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    models::BuildOptions build;
    build.device = kCard;
    build.precision.compute = compute;
    build.trainable = false;
    const auto model = tiny_config_of(models::ModelKind::kDecoder, 2)->make(build);
    model->parameters().initialize(5);
    const auto expected = decoded(*model, false);
    const int before = graphs_submitted();
    const auto replayed = decoded(*model, true);
    if (before >= 0) {
      EXPECT_GE(graphs_submitted() - before, 10);
    }
    ASSERT_EQ(replayed.size(), expected.size());
    for (std::size_t i = 0; i < replayed.size(); ++i) {
      EXPECT_EQ(replayed[i].tokens, expected[i].tokens) << "prompt " << i;
      EXPECT_EQ(replayed[i].log_probs, expected[i].log_probs) << "prompt " << i;
    }
  }
}

// ---- training steps

TrainingCase tiny_case(models::ModelKind kind) {
  TrainingCase setup;
  setup.kind = kind;
  setup.steps = 8;
  setup.global_batch_size = 8;
  setup.layers = 1;
  setup.device = kCard;
  return setup;
}

// Graphs that were submitted while it learnt what it learns call by call; negative where nobody
// counts.
int graphs_of_learning_the_same(TrainingCase setup) {
  runtime::backend_of(kCard).set_options({});
  const TrainingTrace expected = train_tiny({}, setup);
  setup.recorded = true;
  const int before = graphs_submitted();
  const TrainingTrace trace = train_tiny({}, setup);
  const int graphs = before < 0 ? before : graphs_submitted() - before;
  // Rows that fill a batch up change the order of some sums.
  const double bound = setup.compute == DType::kF32 ? 1e-5 : 2e-3;
  EXPECT_LE(worst_difference(trace.losses, expected.losses), bound);
  EXPECT_LE(worst_difference(trace.grad_norms, expected.grad_norms), 10 * bound);
  EXPECT_EQ(trace.skipped, expected.skipped);
  return graphs;
}

TEST_F(Replays, of_training_steps_learn_the_same) {
  using models::ModelKind;
  for (const auto& [kind, compute] : {std::pair(ModelKind::kDecoder, DType::kF32),
                                      {ModelKind::kDecoder, DType::kBF16},
                                      {ModelKind::kDecoder, DType::kF16},
                                      {ModelKind::kEncoder, DType::kF32}}) {
    SCOPED_TRACE(testing::Message() << name_of(compute) << ", kind " << static_cast<int>(kind));
    TrainingCase setup = tiny_case(kind);
    setup.compute = compute;
    const int graphs = graphs_of_learning_the_same(setup);
    if (graphs >= 0) {
      EXPECT_GE(graphs, 5) << "of 16 micro-batches of a few sizes";
    }
  }
}

TEST_F(Replays, of_training_steps_that_compute_blocks_again_learn_the_same) {
  for (const auto recompute : {models::Recompute::kSelective, models::Recompute::kFull}) {
    TrainingCase setup = tiny_case(models::ModelKind::kDecoder);
    setup.recompute = recompute;
    const int graphs = graphs_of_learning_the_same(setup);
    if (graphs >= 0) {
      EXPECT_GE(graphs, 5);
    }
  }
}

TEST_F(Replays, are_not_of_training_steps_that_need_the_host) {
  TrainingCase reads_two_texts = tiny_case(models::ModelKind::kEncoderDecoder);
  reads_two_texts.steps = 2;
  EXPECT_LE(graphs_of_learning_the_same(reads_two_texts), 0);
  TrainingCase offloads = tiny_case(models::ModelKind::kDecoder);
  offloads.steps = 4;
  offloads.offload = true;
  EXPECT_LE(graphs_of_learning_the_same(offloads), 0);
}

}  // namespace
}  // namespace tandem::test
