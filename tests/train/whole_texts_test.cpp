// Losses of whole texts are the same where ranks divide the texts: reward models, DPO (with a
// frozen reference, and with the policy below its adapter as one) and classifiers train to the
// losses, gradient norms and weights of one rank. Texts are shorter and longer than the chunks, and
// responses lie on one rank or on several.
#include "train/whole_texts.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/support/error_of.h"
#include "tests/support/golden_model.h"
#include "tests/support/on_ranks.h"
#include "tests/support/tiny_training.h"
#include "train/classification.h"
#include "train/contrastive.h"

namespace tandem::train {
namespace {

using models::ModelKind;
using parallel::LayoutConfig;
using runtime::Philox;
using Tokens = std::vector<data::TokenId>;

constexpr std::int64_t kSamples = 8, kSteps = 6;

// Text `number`: of one token, of a few, of up to forty.
Tokens text_of(std::int64_t number) {
  const Philox random(3, "texts", static_cast<std::uint64_t>(number));
  const std::uint64_t length = number % 5 == 0 ? 1 + random.below(4, 0) : 5 + random.below(36, 0);
  Tokens tokens;
  for (std::uint64_t i = 0; i < length; ++i)
    tokens.push_back(static_cast<data::TokenId>(1 + random.below(90, i + 1)));
  return tokens;
}

struct Exercise {
  std::string name;
  models::BuildOptions options = {};
  ModelKind kind = ModelKind::kDecoder;
  std::function<void(std::int64_t sample, data::BatchBuilder&)> add = {};
  // The share of the loss, of a batch of which ranks may have parts.
  std::function<double(models::Model& model, models::Model& reference, const data::Batch& batch)>
      loss = {};
};

// ---- what is trained

void add_scored_pair(std::int64_t sample, data::BatchBuilder& builder) {
  builder.add_prompt(text_of(2 * sample), sample);
  builder.add_prompt(text_of(2 * sample + 1), sample);
  builder.add_margin(0.1f * static_cast<float>(sample % 3));
}

// Two responses to a prompt; every third sample's have few tokens behind a long prompt.
void add_preference(std::int64_t sample, data::BatchBuilder& builder) {
  const Philox random(4, "preferences", static_cast<std::uint64_t>(sample));
  const Tokens prompt = text_of(3 * sample + 1);
  for (const std::int64_t response : {0, 1}) {
    Tokens tokens = prompt;
    const std::uint64_t length = sample % 3 == 0 ? 1 + random.below(2, 0) : 1 + random.below(20, 1);
    for (std::uint64_t i = 0; i < length; ++i)
      tokens.push_back(static_cast<data::TokenId>(
          1 + random.below(90, 100 * static_cast<std::uint64_t>(response) + i + 2)));
    builder.add_completion(tokens, std::ssize(prompt), sample);
  }
}

void add_labelled(std::int64_t sample, data::BatchBuilder& builder) {
  builder.add_prompt(text_of(sample), sample);
  builder.add_labels(std::vector<float>{static_cast<float>(sample * 7 % 3)});
}

models::BuildOptions with_head(models::Head head) {
  models::BuildOptions options;
  options.head = head;
  if (head == models::Head::kScalar) options.scalar_head_std = models::kRewardHeadStd;
  if (head == models::Head::kClassification) options.labels = {models::numbered_labels(3)};
  return options;
}

// Masks are drawn by the number of a token in its record, of which there are two texts.
models::BuildOptions with_adapter(models::BuildOptions options) {
  options.lora = {.rank = 4, .alpha = 8, .dropout = 0.3};
  return options;
}

double reward(models::Model& model, models::Model&, const data::Batch& batch) {
  return reward_loss(model, batch, kSamples, {.center_rewards_coefficient = 0.1}, true, true).loss;
}

double dpo(models::Model& model, models::Model& reference, const data::Batch& batch) {
  std::vector<float> expected;
  {
    const models::WithoutAdapter frozen(reference.adapter());
    expected = sequence_log_probs(reference, batch);
  }
  return dpo_step(model, batch, expected, kSamples, {.beta = 0.5}, true).loss;
}

double classify(models::Model& model, models::Model&, const data::Batch& batch) {
  return classification_loss(model, batch, kSamples, true).loss;
}

std::vector<Exercise> exercises() {
  const auto scalar = with_head(models::Head::kScalar),
             language = with_head(models::Head::kLanguageModel),
             labels = with_head(models::Head::kClassification);
  return {{"reward", scalar, ModelKind::kDecoder, add_scored_pair, reward},
          {"reward_lora", with_adapter(scalar), ModelKind::kDecoder, add_scored_pair, reward},
          {"dpo", language, ModelKind::kDecoder, add_preference, dpo},
          {"dpo_lora", with_adapter(language), ModelKind::kDecoder, add_preference, dpo},
          {"classify_decoder", labels, ModelKind::kDecoder, add_labelled, classify},
          {"classify_encoder", labels, ModelKind::kEncoder, add_labelled, classify}};
}

// ---- training

struct Trace {
  std::vector<double> losses, norms;
  std::map<std::string, std::vector<float>> weights;
};

std::unique_ptr<models::Model> built(const Exercise& exercise, const parallel::Mesh& mesh,
                                     std::uint64_t seed, bool trainable) {
  models::BuildOptions options = exercise.options;
  options.lay_over(mesh);
  options.trainable = trainable;
  if (!trainable) options.lora = {};
  auto model = test::tiny_config_of(exercise.kind, 2)->make(options);
  model->parameters().initialize(seed);
  if (models::Adapter* adapter = model->adapter()) {
    adapter->store().initialize(seed);
    adapter->set_seed(seed);
  }
  return model;
}

// This rank's part of a replica's samples, `size` at a time.
std::vector<data::Batch> micro_batches(const Exercise& exercise, const parallel::Mesh& mesh,
                                       std::int64_t step, std::int64_t size) {
  const std::int64_t own = kSamples / mesh.dp.size();
  std::vector<data::Batch> batches;
  for (std::int64_t begin = mesh.dp.rank() * own; begin < (mesh.dp.rank() + 1) * own;
       begin += size) {
    data::BatchBuilder builder;
    for (std::int64_t i = begin; i < begin + size; ++i) exercise.add(step * kSamples + i, builder);
    batches.push_back(data::context_part(builder.take(), mesh.cp.rank(), mesh.cp.size()));
  }
  return batches;
}

Trace train(const Exercise& exercise, const LayoutConfig& layout, std::int64_t micro_batch) {
  Trace trace;
  test::on_ranks(layout, [&](const parallel::Mesh& mesh) {
    Engine engine(built(exercise, mesh, 5, true), mesh, {});
    std::unique_ptr<models::Model> reference;
    if (engine.model().adapter() == nullptr) reference = built(exercise, mesh, 6, false);
    for (std::int64_t step = 0; step < kSteps; ++step) {
      const auto batches = micro_batches(exercise, mesh, step, micro_batch);
      double loss = 0;
      const StepStats stats = engine.step(
          std::ssize(batches),
          [&](std::int64_t i) {
            loss += exercise.loss(engine.model(), reference ? *reference : engine.model(),
                                  batches[static_cast<std::size_t>(i)]);
          },
          3e-3, 1.0);
      for (const parallel::Group& group : {mesh.replicas, mesh.pp})
        loss = group.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss");
      if (!mesh.is_first_rank()) continue;
      trace.losses.push_back(loss);
      trace.norms.push_back(stats.grad_norm);
    }
    for (const auto& [name, value] : test::gathered_values(engine.model(), mesh))
      trace.weights[name] = value.to_vector<float>();
  });
  return trace;
}

// Of all weights as one vector; a key's bias moves by rounding alone.
double difference(const Trace& a, const Trace& b) {
  double square = 0, of_difference = 0;
  EXPECT_EQ(a.weights.size(), b.weights.size());
  for (const auto& [name, values] : b.weights) {
    if (name.ends_with("key.bias")) continue;
    const std::vector<float>& own = a.weights.at(name);
    EXPECT_EQ(own.size(), values.size()) << name;
    for (std::size_t i = 0; i < values.size(); ++i) {
      square += std::pow(values[i], 2.0);
      of_difference += std::pow(static_cast<double>(values[i]) - own[i], 2.0);
    }
  }
  return std::sqrt(of_difference / square);
}

void PrintTo(const Exercise& exercise, std::ostream* out) {
  *out << exercise.name;
}

class WholeTexts : public testing::TestWithParam<Exercise> {};

TEST_P(WholeTexts, train_as_on_one_rank) {
  const Exercise& exercise = GetParam();
  const Trace whole = train(exercise, {}, kSamples);
  for (const LayoutConfig& layout : std::vector<LayoutConfig>{
           {.context_parallel = 2},
           {.context_parallel = 3},
           {.context_parallel = 4},
           {.data_parallel = 2, .context_parallel = 2},
           {.data_parallel = 2, .context_parallel = 2, .zero_stage = 1},
           {.pipeline_parallel = 2, .context_parallel = 2},
           {.context_parallel = 2, .tensor_parallel = 2},
           {.context_parallel = 2, .tensor_parallel = 2, .sequence_parallel = true}})
    for (const std::int64_t micro_batch : {1, 4}) {
      const Trace divided = train(exercise, layout, micro_batch);
      const std::string what = fmt::format("{} micro {}", layout.str(), micro_batch);
      EXPECT_LE(test::worst_difference(divided.losses, whole.losses), 1e-5) << what;
      EXPECT_LE(test::worst_difference(divided.norms, whole.norms), 1e-4) << what;
      EXPECT_LE(difference(divided, whole), 1e-5) << what;
    }
}

INSTANTIATE_TEST_SUITE_P(Exercises, WholeTexts, testing::ValuesIn(exercises()),
                         [](const auto& info) { return info.param.name; });

// Every rank knows the numbers of whole texts, and one of them has the results.
TEST(TextsOfRanks, one_rank_has_the_results_and_all_the_numbers) {
  const Exercise exercise = exercises()[2];
  data::BatchBuilder builder;
  for (std::int64_t i = 0; i < 4; ++i) exercise.add(i, builder);
  const data::Batch batch = builder.take();
  const auto alone = sequence_log_probs(*built(exercise, {}, 5, true), batch);
  test::on_ranks({.context_parallel = 3}, [&](const parallel::Mesh& mesh) {
    const auto model = built(exercise, mesh, 5, true);
    const data::Batch part = data::context_part(batch, mesh.cp.rank(), mesh.cp.size());
    EXPECT_LT(test::relative_error(sequence_log_probs(*model, part), alone), 1e-5);
    const DpoLoss loss = dpo_step(*model, part, alone, 4, {}, false);
    EXPECT_EQ(loss.loss != 0, mesh.cp.rank() == 0);
    EXPECT_EQ(counts_texts(*model), mesh.cp.rank() == 0);
  });
}

TEST(TextsOfRanks, what_is_no_sum_is_refused) {
  test::on_ranks({.context_parallel = 2}, [&](const parallel::Mesh& mesh) {
    const Exercise exercise{.name = "embed", .options = with_head(models::Head::kHiddenStates)};
    const auto model = built(exercise, mesh, 5, false);
    data::BatchBuilder builder;
    builder.add_prompt(text_of(1), 0);
    const data::Batch part = data::context_part(builder.take(), mesh.cp.rank(), mesh.cp.size());
    EXPECT_THAT(test::error_of([&] { with_embeddings(*model, part, models::Pooling::kMax); }),
                testing::HasSubstr("context_parallel adds up what its ranks have of a text"));
  });
}

}  // namespace
}  // namespace tandem::train
