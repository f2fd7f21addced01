// Models for whole texts: classification and regression, and embeddings by contrast.
#include <fmt/ranges.h>

#include "data/datasets/labelled.h"
#include "data/datasets/pairs.h"
#include "launcher/stages/model_directory.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "models/model_files.h"
#include "runtime/base/error.h"
#include "train/classification.h"
#include "train/in_batch_contrast.h"

namespace tandem::launcher {

namespace fs = std::filesystem;
using data::Batch;
using data::Dataset;
using train::Metrics;

namespace {

// Where the stage's model comes from; none for one with fresh weights.
std::optional<fs::path> source_of(const RunContext& context, const TrainingStage& config) {
  const std::string from = config.from.empty() ? context.recipe().model.from : config.from;
  if (from.empty()) return std::nullopt;
  return context.model_directory(from);
}

void require_positions(const RunContext& context, const Stage& stage, const models::Model& model,
                       const train::TrainConfig& config) {
  if (config.sequence_length > model.max_positions())
    runtime::throw_error("{}: the model reads {} tokens at most; set {}.sequence_length={}",
                         context.recipe().origins.of(stage_path(stage.name)), model.max_positions(),
                         stage.name, model.max_positions());
}

// ---- classification

models::Labels classifier_labels(const fs::path& directory) {
  if (head_in(directory) != models::Head::kClassification) return {};
  return models::read_model_config(directory)->labels;
}

// Those that the recipe names, or else those of the classifier that the stage starts from.
models::Labels labels_of(const RunContext& context, const Stage& stage,
                         const ClassifyStage& config) {
  const models::Labels given = config.classification.given_labels();
  const auto source = source_of(context, config);
  const models::Labels own = source ? classifier_labels(*source) : models::Labels{};
  const std::string place = context.recipe().origins.of(stage_path(stage.name));
  if (given.count() == 0 && own.count() == 0)
    runtime::throw_error("{}: stage '{}' has no labels; name them, for example labels: [bad, good]",
                         place, stage.name);
  if (given.count() > 0 && own.count() > 0 && own.count() != given.count())
    runtime::throw_error(
        "{}: stage '{}' has {} labels, but the classifier it starts from has {} ({}); start from a "
        "model without a classifier",
        place, stage.name, given.count(), own.count(), fmt::join(own.names, ", "));
  return given.count() > 0 ? given : own;
}

data::LabelScheme scheme_of(const models::Labels& labels) {
  using models::ProblemType;
  const data::LabelKind kind = labels.problem == ProblemType::kSingleLabel ? data::LabelKind::kOne
                               : labels.problem == ProblemType::kMultiLabel
                                   ? data::LabelKind::kAny
                                   : data::LabelKind::kNumbers;
  return {kind, labels.names};
}

class ClassificationObjective final : public StageObjective {
 public:
  ClassificationObjective(const Dataset& training, const Dataset* validation,
                          models::ProblemType problem)
      : StageObjective(training, validation), problem_(problem) {}
  double weight(const Batch& batch) const override {
    return static_cast<double>(batch.sequence_count());
  }
  Metrics micro_batch(models::Model& model, const Batch& batch, double global_weight,
                      bool backward) override {
    const train::LabelLoss loss = train::classification_loss(model, batch, global_weight, backward);
    return {{"loss", loss.loss}, {train::figure_of(problem_), loss.figure}};
  }

 private:
  models::ProblemType problem_;
};

}  // namespace

StageRecord run_classify_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<ClassifyStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  models::BuildOptions options =
      trained_options(config.train, *mesh, models::Head::kClassification);
  options.labels = labels_of(context, stage, config);
  const data::LabelScheme scheme = scheme_of(options.labels);
  const auto sets = load_sets(config, [&](const data::DataConfig& source, const std::string&) {
    return data::load_labelled(source, context.tokenizer(), scheme, config.train.sequence_length);
  });
  const StageData data(sets, context.seed());
  ClassificationObjective objective(data.training(), data.validation_or_null(),
                                    options.labels.problem);
  auto model = build_model(context, config.from, options);
  require_positions(context, stage, *model, config.train);
  return run_training_job(context, {stage, config.train, *mesh, std::move(model), objective, {}});
}

// ---- embeddings

namespace {

class ContrastiveObjective final : public StageObjective {
 public:
  ContrastiveObjective(const Dataset& training, const Dataset* validation,
                       train::InBatchContrast contrast)
      : StageObjective(training, validation), contrast_(std::move(contrast)) {}
  double weight(const Batch& batch) const override { return contrast_.samples_of(batch); }
  void prepare(models::Model& model, const parallel::Mesh& mesh, std::span<const Batch> batches,
               std::size_t counted, bool backward) override {
    contrast_.prepare(model, mesh, batches, counted, backward);
  }
  Metrics micro_batch(models::Model& model, const Batch& batch, double global_weight,
                      bool backward) override {
    return contrast_.micro_batch(model, batch, global_weight, backward);
  }

 private:
  train::InBatchContrast contrast_;
};

models::EmbeddingConfig embedding_of(const RunContext& context, const ContrastiveStage& config) {
  const auto source = source_of(context, config);
  const auto own = source ? models::read_embedding_config(*source) : std::nullopt;
  return {.pooling = config.contrastive.pooling_for(own ? own->pooling : models::Pooling::kMean),
          .normalize = config.contrastive.normalize,
          .max_length = config.train.sequence_length};
}

}  // namespace

StageRecord run_contrastive_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<ContrastiveStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  const auto sets = load_sets(config, [&](const data::DataConfig& source, const std::string&) {
    return data::load_pairs(source, context.tokenizer(), config.train.sequence_length);
  });
  const models::EmbeddingConfig embedding = embedding_of(context, config);
  // Embeddings of length 1 have their cosine as product.
  const bool cosine =
      config.contrastive.similarity == train::Similarity::kCosine || config.contrastive.normalize;
  const StageData data(sets, context.seed());
  ContrastiveObjective objective(data.training(), data.validation_or_null(),
                                 {{.scale = config.contrastive.scale, .cosine = cosine},
                                  embedding.pooling,
                                  data::texts_per_sample(config.data),
                                  config.train.global_batch_size});
  auto model = build_model(context, config.from,
                           trained_options(config.train, *mesh, models::Head::kHiddenStates));
  require_positions(context, stage, *model, config.train);
  const std::int64_t width = model->hidden_size();
  return run_training_job(context, {stage,
                                    config.train,
                                    *mesh,
                                    std::move(model),
                                    objective,
                                    {},
                                    models::embedding_files(embedding, width)});
}

}  // namespace tandem::launcher
