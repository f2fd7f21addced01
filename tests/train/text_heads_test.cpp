// Classifiers and embeddings on a model: scores, losses and every gradient equal to what
// transformers' *ForSequenceClassification and sentence-transformers' MultipleNegativesRankingLoss
// computed on the same weights and texts (tests/golden/README.md), on one rank, over
// tensor-parallel ranks, over replicas and in pipelines.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/context_part.h"
#include "models/embedding/sentence_transformers.h"
#include "tests/support/golden_model.h"
#include "tests/support/on_ranks.h"
#include "train/classification.h"
#include "train/contrastive.h"
#include "train/engine.h"
#include "train/in_batch_contrast.h"

namespace tandem::train {
namespace {

using models::Head;
using models::ProblemType;
using runtime::SafetensorsFile;
using runtime::Tensor;
using test::close;
using test::golden_path;
using test::on_ranks;

constexpr double kTolerance = 1e-4;

std::vector<float> floats(const SafetensorsFile& file, const std::string& name) {
  return file.read(name).to_vector<float>();
}

// The texts of a fixture that `of` takes, in order.
data::Batch texts_of(const SafetensorsFile& golden, const std::string& prefix,
                     const std::function<bool(std::int64_t)>& of) {
  const auto tokens = test::golden_ints(golden, prefix + "tokens"),
             borders = test::golden_ints(golden, prefix + "cu_seqlens");
  data::BatchBuilder builder;
  for (std::size_t i = 0; i + 1 < borders.size(); ++i)
    if (of(static_cast<std::int64_t>(i)))
      builder.add_prompt(
          std::span(tokens).subspan(static_cast<std::size_t>(borders[i]),
                                    static_cast<std::size_t>(borders[i + 1] - borders[i])),
          static_cast<std::int64_t>(i));
  return builder.take();
}

// Sums the gradients of all replicas, which a step's gradient is.
void sum_gradients(models::Model& model, const parallel::Mesh& mesh) {
  for (const auto& stored : model.parameters().parameters()) {
    runtime::Leaf& leaf = stored->parameter.leaf;
    if (!leaf.has_grad) runtime::backend_of(leaf.grad).fill(leaf.grad, 0.0f);
    mesh.replicas.all_reduce(leaf.grad, parallel::ReduceOp::kSum, "gradient").wait();
  }
}

// Every gradient of the fixture, and no other but those of `without_gradient`.
void expect_gradients(models::Model& model, const parallel::Mesh& mesh,
                      const SafetensorsFile& golden, const std::string& prefix,
                      std::string_view without_gradient = "") {
  sum_gradients(model, mesh);
  const auto gradients = test::gathered_gradients(model, mesh);
  if (!mesh.is_first_rank()) return;
  double largest = 0;
  std::size_t expected = 0;
  for (const auto& info : golden.tensors()) {
    if (!info.name.starts_with(prefix)) continue;
    ++expected;
    for (const float value : floats(golden, info.name))
      largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  std::size_t compared = 0;
  for (const auto& [name, gradient] : gradients) {
    if (!without_gradient.empty() && name.starts_with(without_gradient)) continue;
    ASSERT_TRUE(golden.contains(prefix + name)) << name;
    ++compared;
    const auto actual = gradient.to_vector<float>(), truth = floats(golden, prefix + name);
    // A key's bias has no effect: its gradient is rounding alone.
    const double floor = 2e-3 * largest;
    double own = floor, worst = 0;
    ASSERT_EQ(actual.size(), truth.size()) << name;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      own = std::max(own, std::abs(static_cast<double>(truth[i])));
      worst = std::max(worst, std::abs(static_cast<double>(actual[i]) - truth[i]));
    }
    EXPECT_LE(worst, kTolerance * own) << prefix << name << " " << mesh.layout.str();
  }
  EXPECT_EQ(compared, expected) << prefix;
}

const std::vector<parallel::LayoutConfig> kLayouts = {{},
                                                      {.tensor_parallel = 2},
                                                      {.data_parallel = 2},
                                                      {.pipeline_parallel = 2},
                                                      {.context_parallel = 2},
                                                      {.data_parallel = 2, .context_parallel = 3}};

data::Batch own_part(const data::Batch& batch, const parallel::Mesh& mesh) {
  return data::context_part(batch, mesh.cp.rank(), mesh.cp.size());
}

// ---- classifiers

struct ClassifierCase {
  std::string model;
  ProblemType problem;

  std::string prefix() const { return fmt::format("{}/{}/", model, models::name_of(problem)); }
  models::Labels labels() const {
    return {models::numbered_labels(problem == ProblemType::kRegression ? 1 : 3), problem};
  }
};

const SafetensorsFile& classification() {
  static const SafetensorsFile file(golden_path("classification.safetensors"));
  return file;
}

// The weights of the family's fixture, and those of the head.
std::unique_ptr<models::Model> classifier(const ClassifierCase& c, const parallel::Mesh& mesh) {
  models::BuildOptions options;
  options.head = Head::kClassification;
  options.labels = c.labels();
  options.lay_over(mesh);
  auto model = test::load_golden_model(c.model, options);
  for (std::size_t i = 0; i < model->parameters().parameters().size(); ++i) {
    const std::string name =
        c.prefix() + "head/" + model->parameters().parameters()[i]->spec.pieces[0].name;
    if (classification().contains(name)) model->parameters().assign(i, classification().read(name));
  }
  return model;
}

class TextClassifier : public testing::TestWithParam<ClassifierCase> {};

TEST_P(TextClassifier, scores_loss_and_every_gradient_equal_transformers) {
  const ClassifierCase& param = GetParam();
  const auto labels =
      floats(classification(), fmt::format("labels/{}", models::name_of(param.problem)));
  for (const parallel::LayoutConfig& layout : kLayouts)
    on_ranks(layout, [&](const parallel::Mesh& mesh) {
      const auto own = [&](std::int64_t text) { return text % mesh.dp.size() == mesh.dp.rank(); };
      const auto model = classifier(param, mesh);
      data::Batch batch = texts_of(classification(), "", own);
      const std::size_t values = labels.size() / 4;
      for (std::size_t i = 0; i < labels.size(); ++i)
        if (own(static_cast<std::int64_t>(i / values))) batch.labels.push_back(labels[i]);
      batch = own_part(batch, mesh);
      model->parameters().begin_step();
      const auto scores = with_label_scores(*model, batch);
      if (mesh.dp.size() == 1 && !scores.empty()) {
        EXPECT_LT(test::relative_error(scores, floats(classification(), param.prefix() + "logits")),
                  1e-5);
      }
      double loss = 0;
      if (model->pipeline() == nullptr) {
        loss = classification_loss(*model, batch, 4, true).loss;
        expect_gradients(*model, mesh, classification(), param.prefix() + "grad/");
      } else {  // training in pipelines is the engine's affair
        loss = classification_loss(*model, batch, 4, false).loss;
      }
      for (const parallel::Group& group : {mesh.replicas, mesh.pp})
        loss = group.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss");
      EXPECT_NEAR(loss, floats(classification(), param.prefix() + "loss")[0], 1e-5 * loss);
    });
}

std::vector<ClassifierCase> classifier_cases() {
  std::vector<ClassifierCase> cases;
  for (const char* model : {"bert_tiny", "llama3_rope", "gpt2_tiny"})
    for (const ProblemType problem :
         {ProblemType::kSingleLabel, ProblemType::kMultiLabel, ProblemType::kRegression})
      cases.push_back({model, problem});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, TextClassifier, testing::ValuesIn(classifier_cases()),
                         [](const auto& info) {
                           return fmt::format("{}_{}", info.param.model,
                                              models::name_of(info.param.problem));
                         });

TEST(TextClassifier, files_hold_its_labels) {
  const auto model =
      classifier({"gpt2_tiny", ProblemType::kMultiLabel}, parallel::single_rank_mesh());
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("tandem_classifier_{}", getpid());
  save_model_directory(*model, parallel::single_rank_mesh(), nullptr, folder, runtime::DType::kF32);
  const models::AnyConfig config = models::read_config((folder / "config.json").string());
  EXPECT_EQ(config->labels, (models::Labels{models::numbered_labels(3), ProblemType::kMultiLabel}));
  models::BuildOptions options;
  options.head = Head::kClassification;
  const auto again = config->make(options);
  load_model_weights(*again, folder);
  const data::Batch batch = texts_of(classification(), "", [](std::int64_t) { return true; });
  EXPECT_EQ(with_label_scores(*again, batch), with_label_scores(*model, batch));
  std::filesystem::remove_all(folder);
}

TEST(TextHeads, are_refused_by_families_that_read_and_write) {
  for (const char* name : {"t5_tiny", "bart_tiny"})
    for (const Head head : {Head::kClassification, Head::kHiddenStates}) {
      models::BuildOptions options;
      options.head = head;
      EXPECT_THROW(test::load_golden_model(name, options), runtime::Error) << name;
    }
}

// ---- embeddings

const SafetensorsFile& embeddings() {
  static const SafetensorsFile file(golden_path("embeddings.safetensors"));
  return file;
}

std::unique_ptr<models::Model> embedder(const parallel::Mesh& mesh) {
  models::BuildOptions options;
  options.head = Head::kHiddenStates;
  options.lay_over(mesh);
  return test::load_golden_model("embedding_tiny", options);
}

TEST(TextEmbeddings, of_every_pooling_equal_sentence_transformers) {
  const data::Batch batch = texts_of(embeddings(), "texts/", [](std::int64_t) { return true; });
  for (const parallel::LayoutConfig& layout : kLayouts)
    on_ranks(layout, [&](const parallel::Mesh& mesh) {
      const auto model = embedder(mesh);
      for (const models::Pooling pooling : {models::Pooling::kMean, models::Pooling::kCls,
                                            models::Pooling::kLastToken, models::Pooling::kMax}) {
        if (mesh.cp.size() > 1 && pooling == models::Pooling::kMax) continue;
        auto rows = with_embeddings(*model, own_part(batch, mesh), pooling);
        if (rows.empty()) continue;
        const std::string name = fmt::format("embeddings/{}", models::name_of(pooling));
        EXPECT_LT(test::relative_error(rows, floats(embeddings(), name)), 1e-5) << name;
        normalize_rows(rows, 24);
        EXPECT_LT(test::relative_error(rows, floats(embeddings(), name + "_normalized")), 1e-5)
            << name;
      }
    });
}

class Contrast : public testing::TestWithParam<std::string> {};

TEST_P(Contrast, loss_and_every_gradient_equal_sentence_transformers) {
  const auto json = test::golden_json("embeddings.json")[GetParam()];
  const std::int64_t texts = json["texts_per_sample"];
  const ContrastiveOptions options{.scale = json["scale"], .cosine = json["cosine"]};
  const std::string prefix = GetParam() + "/";
  const data::Batch batch = texts_of(embeddings(), prefix, [](std::int64_t) { return true; });
  for (const parallel::LayoutConfig& layout : std::vector<parallel::LayoutConfig>{
           {}, {.tensor_parallel = 2}, {.context_parallel = 2}, {.context_parallel = 4}})
    on_ranks(layout, [&](const parallel::Mesh& mesh) {
      const auto model = embedder(mesh);
      model->parameters().begin_step();
      ContrastiveLoss loss;
      with_embeddings(*model, own_part(batch, mesh), models::Pooling::kMean,
                      [&](const std::vector<float>& rows) {
                        loss = contrastive_loss(rows, 24, texts, 4, options);
                        return loss.grads;
                      });
      const double mean = std::accumulate(loss.losses.begin(), loss.losses.end(), 0.0) / 4;
      EXPECT_NEAR(mean, floats(embeddings(), prefix + "loss")[0], 1e-5 * mean);
      expect_gradients(*model, mesh, embeddings(), prefix + "grad/", "pooler.");
    });
}

INSTANTIATE_TEST_SUITE_P(Cases, Contrast, testing::Values("pairs", "triplets", "dot"),
                         [](const auto& info) { return info.param; });

// ---- the global batch

// Four samples of the fixture, `size` at a time, as a replica gets them.
std::vector<data::Batch> micro_batches(const parallel::Mesh& mesh, std::int64_t texts,
                                       std::int64_t size) {
  const std::int64_t own = 4 / mesh.dp.size();
  std::vector<data::Batch> batches;
  for (std::int64_t sample = mesh.dp.rank() * own; sample < (mesh.dp.rank() + 1) * own;
       sample += size)
    batches.push_back(own_part(texts_of(embeddings(), texts == 2 ? "pairs/" : "triplets/",
                                        [&](std::int64_t text) {
                                          return text >= sample * texts &&
                                                 text < (sample + size) * texts;
                                        }),
                               mesh));
  return batches;
}

struct Division {
  parallel::LayoutConfig layout;
  std::int64_t micro_batch;
};

// One step of the engine: the loss and the gradient's norm, which fp32 rounding alone may change.
struct StepResult {
  double loss = 0, accuracy = 0, grad_norm = 0;
};

StepResult contrast_step(const Division& division, std::int64_t texts) {
  StepResult result;
  on_ranks(division.layout, [&](const parallel::Mesh& mesh) {
    Engine engine(embedder(mesh), mesh, {});
    InBatchContrast contrast({}, models::Pooling::kMean, texts, 4);
    const auto batches = micro_batches(mesh, texts, division.micro_batch);
    contrast.prepare(engine.model(), mesh, batches, batches.size(), true);
    std::vector<double> sums(2, 0.0);
    const StepStats stats = engine.step(
        static_cast<std::int64_t>(batches.size()),
        [&](std::int64_t i) {
          const Metrics share =
              contrast.micro_batch(engine.model(), batches[static_cast<std::size_t>(i)], 4, true);
          for (std::size_t m = 0; m < 2; ++m) sums[m] += share[m].second;
        },
        0.0, 0.0);
    for (const parallel::Group& group : {mesh.replicas, mesh.pp})
      for (double& sum : sums)
        sum = group.all_reduce_scalar(sum, parallel::ReduceOp::kSum, "metrics");
    if (mesh.is_first_rank()) result = {sums[0], sums[1], stats.grad_norm};
  });
  return result;
}

TEST(InBatchContrast, is_over_the_global_batch_under_every_division) {
  for (const std::int64_t texts : {2, 3}) {
    const StepResult whole = contrast_step({{}, 4}, texts);
    const std::string name = texts == 2 ? "pairs/" : "triplets/";
    EXPECT_NEAR(whole.loss, floats(embeddings(), name + "loss")[0], 1e-5 * whole.loss);
    double squares = 0;
    for (const auto& info : embeddings().tensors())
      if (info.name.starts_with(name + "grad/"))
        for (const float value : floats(embeddings(), info.name))
          squares += static_cast<double>(value) * value;
    EXPECT_NEAR(whole.grad_norm, std::sqrt(squares), 1e-4 * whole.grad_norm);
    for (const Division& division :
         std::vector<Division>{{{}, 1},
                               {{}, 2},
                               {{.data_parallel = 2}, 2},
                               {{.data_parallel = 2}, 1},
                               {{.data_parallel = 4}, 1},
                               {{.tensor_parallel = 2}, 2},
                               {{.pipeline_parallel = 2}, 4},
                               {{.pipeline_parallel = 2}, 1},
                               {{.data_parallel = 2, .zero_stage = 2}, 1},
                               {{.data_parallel = 2, .zero_stage = 3}, 1},
                               {{.context_parallel = 2}, 4},
                               {{.context_parallel = 3}, 1},
                               {{.data_parallel = 2, .context_parallel = 2}, 1},
                               {{.tensor_parallel = 2, .sequence_parallel = true}, 2}}) {
      const StepResult divided = contrast_step(division, texts);
      const std::string what =
          fmt::format("{} micro {}", division.layout.str(), division.micro_batch);
      EXPECT_NEAR(divided.loss, whole.loss, 1e-5 * whole.loss) << what;
      EXPECT_NEAR(divided.accuracy, whole.accuracy, 1e-6) << what;
      EXPECT_NEAR(divided.grad_norm, whole.grad_norm, 1e-4 * whole.grad_norm) << what;
    }
  }
}

TEST(InBatchContrast, evaluates_in_batches_of_the_same_size_wherever_samples_are) {
  const auto loss_on = [](int replicas) {
    double loss = 0;
    on_ranks({.data_parallel = replicas}, [&](const parallel::Mesh& mesh) {
      const auto model = embedder(mesh);
      InBatchContrast contrast({}, models::Pooling::kMean, 2, 2);
      // The first replica has three of four samples where there are two.
      std::vector<data::Batch> batches;
      for (std::int64_t sample = 0; sample < 4; ++sample)
        if (replicas == 1 || (sample < 3) == (mesh.dp.rank() == 0))
          batches.push_back(texts_of(embeddings(), "pairs/",
                                     [&](std::int64_t text) { return text / 2 == sample; }));
      contrast.prepare(*model, mesh, batches, batches.size(), false);
      double own = 0;
      for (const data::Batch& batch : batches)
        own += contrast.micro_batch(*model, batch, 4, false)[0].second;
      own = mesh.dp.all_reduce_scalar(own, parallel::ReduceOp::kSum, "loss");
      if (mesh.is_first_rank()) loss = own;
    });
    return loss;
  };
  EXPECT_NEAR(loss_on(2), loss_on(1), 1e-6 * loss_on(1));
  EXPECT_GT(loss_on(1), 0.0);
}

}  // namespace
}  // namespace tandem::train
