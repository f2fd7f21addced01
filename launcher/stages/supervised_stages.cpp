// Supervised fine-tuning, reward modelling and DPO: data and objective of each; the loop is shared.
#include <cmath>
#include <numeric>

#include "data/datasets/load.h"
#include "data/datasets/preference.h"
#include "data/datasets/sft.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "train/objectives.h"

namespace tandem::launcher {

using data::Batch;
using data::Dataset;
using train::Metrics;

namespace {

// Trains on `sets`, for which the stage's kind of model has been chosen.
template <typename T>
StageRecord train_on(RunContext& context, const Stage& stage, const parallel::Mesh& mesh,
                     std::unique_ptr<models::Model> model, const StageSets<T>& sets) {
  const auto& config = std::get<SftStage>(stage.config);
  const StageData data(sets, context.seed());
  const T& shown = sets.shown();
  auto prompts = example_prompts([&](std::int64_t i) { return shown.example(i); },
                                 std::min(config.train.samples.count, shown.size()));
  TokenObjective objective(data.training(), data.validation_or_null(), config.cuda_graphs);
  return run_training_job(
      context, {stage, config.train, mesh, std::move(model), objective, std::move(prompts)});
}

}  // namespace

StageRecord run_sft_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<SftStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  auto model = build_writer(context, config.from,
                            tuned_options(config, *mesh, models::Head::kLanguageModel));
  const data::ChatTemplate chat = context.chat_template();
  const bool two_texts = model->kind() == models::ModelKind::kEncoderDecoder;
  const data::SftOptions options{config.train.sequence_length, config.masks, two_texts};
  data::ReadCounts counts;
  const auto load = [&](const data::DataConfig& source, const std::string& name) {
    const ExampleRecipe recipe{
        [&] { return data::sft_fingerprint(source, chat, options); },
        [&](data::ExampleSink& out) { return data::read_sft(source, chat, options, out); }};
    return data::split_examples(prepare_examples(context, stage, *mesh, name, recipe, counts), 1,
                                source.validation_fraction);
  };
  const auto train = [&](const auto& make) {
    return train_on(
        context, stage, *mesh, std::move(model),
        load_sets(config, [&](const data::DataConfig& source, const std::string& name) {
          auto split = load(source, name);
          using T = decltype(make(std::move(split.train)));
          return data::Split<T>{make(std::move(split.train)), make(std::move(split.validation))};
        }));
  };
  const data::TokenId start = model->decoder_start_token();
  StageRecord record = two_texts ? train([&](data::ExampleStore examples) {
    return data::SequenceToSequenceDataset(std::move(examples), start);
  })
                                 : train([](data::ExampleStore examples) {
                                     return data::SftDataset(std::move(examples));
                                   });
  add_counts(record, counts);
  return record;
}

// ---- reward

namespace {

auto load_preference_sets(RunContext& context, const Stage& stage, const TrainingStage& config,
                          const parallel::Mesh& mesh, data::ReadCounts& counts) {
  const data::ChatTemplate chat = context.chat_template();
  const std::int64_t length = config.train.sequence_length;
  return load_sets(config, [&](const data::DataConfig& source, const std::string& name) {
    const ExampleRecipe recipe{
        [&] { return data::preference_fingerprint(source, chat, length); },
        [&](data::ExampleSink& out) { return data::read_preferences(source, chat, length, out); }};
    auto split = data::split_examples(prepare_examples(context, stage, mesh, name, recipe, counts),
                                      2, source.validation_fraction);
    return data::Split<data::PreferenceDataset>{
        data::PreferenceDataset(std::move(split.train)),
        data::PreferenceDataset(std::move(split.validation))};
  });
}

double pairs_of(const Batch& batch) {
  return static_cast<double>(batch.sequence_count()) / 2;
}

class RewardObjective final : public StageObjective {
 public:
  RewardObjective(const Dataset& training, const Dataset* validation,
                  const train::RewardConfig& config)
      : StageObjective(training, validation), config_(config) {}
  double weight(const Batch& batch) const override { return pairs_of(batch); }
  Metrics micro_batch(models::Model& model, const Batch& batch, double global_weight,
                      bool backward) override {
    const train::RewardLoss loss =
        train::reward_loss(model, batch, global_weight,
                           {.center_rewards_coefficient = config_.center_rewards_coefficient},
                           config_.use_margin, backward);
    return {{"loss", loss.loss}, {"accuracy", loss.accuracy}, {"margin", loss.margin}};
  }

 private:
  const train::RewardConfig& config_;
};

}  // namespace

StageRecord run_reward_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<RewardStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  data::ReadCounts counts;
  const auto sets = load_preference_sets(context, stage, config, *mesh, counts);
  const StageData data(sets, context.seed());
  RewardObjective objective(data.training(), data.validation_or_null(), config.reward);
  models::BuildOptions options = tuned_options(config, *mesh, models::Head::kScalar);
  options.scalar_head_std = models::kRewardHeadStd;
  StageRecord record = run_training_job(
      context,
      {stage, config.train, *mesh, build_decoder(context, config.from, options), objective, {}});
  add_counts(record, counts);
  return record;
}

// ---- DPO

namespace {

class DpoObjective final : public StageObjective {
 public:
  DpoObjective(const Dataset& training, const Dataset* validation, models::Model& reference,
               const train::DpoConfig& config)
      : StageObjective(training, validation),
        reference_(reference),
        options_{config.beta, config.label_smoothing} {}
  double weight(const Batch& batch) const override { return pairs_of(batch); }
  Metrics micro_batch(models::Model& model, const Batch& batch, double global_weight,
                      bool backward) override {
    const std::vector<float> reference = train::reference_log_probs(reference_, batch);
    const train::DpoLoss loss =
        train::dpo_step(model, batch, reference, global_weight, options_, backward);
    return {{"loss", loss.loss},
            {"accuracy", loss.accuracy},
            {"margin", loss.margin},
            {"chosen_reward", loss.chosen_reward},
            {"rejected_reward", loss.rejected_reward}};
  }

 private:
  models::Model& reference_;
  train::DpoOptions options_;
};

}  // namespace

StageRecord run_dpo_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<DpoStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  data::ReadCounts counts;
  const auto sets = load_preference_sets(context, stage, config, *mesh, counts);
  const StageData data(sets, context.seed());
  auto model = build_decoder(context, config.from,
                             tuned_options(config, *mesh, models::Head::kLanguageModel));
  std::unique_ptr<models::Model> reference;
  if (!config.policy_is_reference())
    reference = build_decoder(context, config.reference_from,
                              frozen_options(runtime::policy_of(config.train.precision), *mesh,
                                             models::Head::kLanguageModel));
  DpoObjective objective(data.training(), data.validation_or_null(),
                         reference != nullptr ? *reference : *model, config.dpo);
  const data::PreferenceDataset& shown = sets.training.front();
  auto prompts = example_prompts([&](std::int64_t i) { return shown.chosen(i); },
                                 std::min(config.train.samples.count, shown.size()));
  StageRecord record = run_training_job(
      context, {stage, config.train, *mesh, std::move(model), objective, std::move(prompts)});
  add_counts(record, counts);
  return record;
}

}  // namespace tandem::launcher
