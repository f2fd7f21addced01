// Supervised fine-tuning, reward modelling and DPO: data and objective of each; the loop is shared.
#include <cmath>
#include <numeric>

#include "data/datasets/preference.h"
#include "data/datasets/sft.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "train/objectives.h"

namespace tandem::launcher {

using data::Batch;
using data::Dataset;
using train::Metrics;

StageRecord run_sft_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<SftStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  const data::ChatTemplate chat = context.chat_template();
  const auto data = load_data(config, [&](const data::DataConfig& source) {
    return data::load_sft(source, chat, config.train.sequence_length);
  });
  const auto& shown = data.validation ? *data.validation : data.training;
  auto prompts = example_prompts([&](std::int64_t i) { return shown.example(i); },
                                 std::min(config.train.samples.count, shown.size()));
  TokenObjective objective(data.training, data.validation_or_null());
  return run_training_job(
      context, {stage, config.train, *mesh,
                build_decoder(context, config.from,
                              tuned_options(config, *mesh, models::Head::kLanguageModel)),
                objective, std::move(prompts)});
}

// ---- reward

namespace {

auto load_preference_data(RunContext& context, const TrainingStage& config) {
  const data::ChatTemplate chat = context.chat_template();
  return load_data(config, [&](const data::DataConfig& source) {
    return data::load_preferences(source, chat, config.train.sequence_length);
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
  const auto data = load_preference_data(context, config);
  RewardObjective objective(data.training, data.validation_or_null(), config.reward);
  models::BuildOptions options = tuned_options(config, *mesh, models::Head::kScalar);
  options.scalar_head_std = models::kRewardHeadStd;
  return run_training_job(
      context,
      {stage, config.train, *mesh, build_decoder(context, config.from, options), objective, {}});
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
    const std::vector<float> reference = reference_log_probs(batch);
    const train::DpoLoss loss =
        train::dpo_step(model, batch, reference, global_weight, options_, backward);
    return {{"loss", loss.loss},
            {"accuracy", loss.accuracy},
            {"margin", loss.margin},
            {"chosen_reward", loss.chosen_reward},
            {"rejected_reward", loss.rejected_reward}};
  }

 private:
  // The reference may be the policy itself, whose adapter is no part of it.
  std::vector<float> reference_log_probs(const Batch& batch) {
    const models::WithoutAdapter frozen(reference_.adapter());
    return train::sequence_log_probs(reference_, batch);
  }

  models::Model& reference_;
  train::DpoOptions options_;
};

}  // namespace

StageRecord run_dpo_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<DpoStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  const auto data = load_preference_data(context, config);
  auto model = build_decoder(context, config.from,
                             tuned_options(config, *mesh, models::Head::kLanguageModel));
  std::unique_ptr<models::Model> reference;
  if (!config.policy_is_reference())
    reference =
        build_decoder(context, config.reference_from,
                      frozen_options(config.train.precision, *mesh, models::Head::kLanguageModel));
  DpoObjective objective(data.training, data.validation_or_null(),
                         reference != nullptr ? *reference : *model, config.dpo);
  auto prompts = example_prompts([&](std::int64_t i) { return data.training.chosen(i); },
                                 std::min(config.train.samples.count, data.training.size()));
  return run_training_job(
      context, {stage, config.train, *mesh, std::move(model), objective, std::move(prompts)});
}

}  // namespace tandem::launcher
