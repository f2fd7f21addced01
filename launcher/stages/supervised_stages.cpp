// Pretraining, supervised fine-tuning, reward modelling and DPO: data and objective of each; the
// loop is shared.
#include <cmath>
#include <numeric>

#include "data/datasets/preference.h"
#include "data/datasets/pretrain.h"
#include "data/datasets/sft.h"
#include "data/token_file.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "train/objectives.h"

namespace tandem::launcher {

using data::Batch;
using data::Dataset;
using train::Metrics;

namespace {

// Training and validation data of a stage; validation may be empty.
template <typename T>
struct StageData {
  T training;
  std::unique_ptr<T> validation;

  const Dataset* validation_or_null() const {
    return validation != nullptr && validation->size() > 0 ? validation.get() : nullptr;
  }
};

// `load` reads one source into a Split. A validation source of its own wins over a held-out
// fraction.
template <typename Load>
auto load_data(const TrainingStage& stage, const Load& load) {
  auto split = load(stage.data);
  using T = decltype(split.train);
  StageData<T> data{std::move(split.train), nullptr};
  if (!stage.validation.path.empty()) {
    data.validation = std::make_unique<T>(load(stage.validation).train);
  } else if (stage.data.validation_fraction > 0) {
    data.validation = std::make_unique<T>(std::move(split.validation));
  }
  return data;
}

// The rest of a stage of next-token prediction once its data is there.
StageRecord train_on_tokens(RunContext& context, const Stage& stage, const TrainingStage& config,
                            const parallel::Mesh& mesh, const Dataset& training,
                            const Dataset* validation, SamplePrompts prompts) {
  TokenObjective objective(training, validation);
  return run_training_job(
      context, {stage, config.train, mesh,
                build_model(context, config.from,
                            trained_options(config.train.precision, config.train.recompute, mesh,
                                            models::Head::kLanguageModel)),
                objective, std::move(prompts)});
}

SamplePrompts first_tokens(const Dataset& dataset, std::int64_t count, std::size_t tokens) {
  SamplePrompts prompts;
  for (std::int64_t i = 0; i < std::min(count, dataset.size()); ++i) {
    const std::int64_t index[] = {i};
    const Batch batch = data::make_batch(dataset, index);
    const auto length = std::min(tokens, static_cast<std::size_t>(batch.sequence_length(0)));
    prompts.emplace_back(batch.tokens.begin(),
                         batch.tokens.begin() + static_cast<std::ptrdiff_t>(length));
  }
  return prompts;
}

}  // namespace

StageRecord run_pretrain_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<PretrainStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  const data::Tokenizer& tokenizer = context.tokenizer();
  const auto tokens_path = [&](const data::DataConfig& source) {
    return context.folder_of(stage) /
           (&source == &config.validation ? "validation.tokens" : "training.tokens");
  };
  const auto load = [&](const data::DataConfig& source) {
    if (mesh->is_first_rank()) data::build_token_file(source, tokenizer, tokens_path(source));
    mesh->world.barrier("tokenise the corpus");
    auto tokens =
        std::make_shared<const data::TokenFile>(data::TokenFile::open(tokens_path(source)));
    return data::make_pretrain_datasets(std::move(tokens), config.train.sequence_length,
                                        source.validation_fraction);
  };
  const auto data = load_data(config, load);
  const Dataset& shown =
      data.validation_or_null() != nullptr ? *data.validation_or_null() : data.training;
  return train_on_tokens(context, stage, config, *mesh, data.training, data.validation_or_null(),
                         first_tokens(shown, config.train.samples.count, 6));
}

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
  return train_on_tokens(context, stage, config, *mesh, data.training, data.validation_or_null(),
                         std::move(prompts));
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
  models::BuildOptions options =
      trained_options(config.train.precision, config.train.recompute, *mesh, models::Head::kScalar);
  options.scalar_head_std = models::kRewardHeadStd;
  return run_training_job(
      context,
      {stage, config.train, *mesh, build_model(context, config.from, options), objective, {}});
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
    const std::vector<float> reference = train::sequence_log_probs(reference_, batch);
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
  const auto data = load_preference_data(context, config);
  auto model = build_model(context, config.from,
                           trained_options(config.train.precision, config.train.recompute, *mesh,
                                           models::Head::kLanguageModel));
  const auto reference =
      build_model(context, config.reference_from,
                  frozen_options(config.train.precision, *mesh, models::Head::kLanguageModel));
  DpoObjective objective(data.training, data.validation_or_null(), *reference, config.dpo);
  auto prompts = example_prompts([&](std::int64_t i) { return data.training.chosen(i); },
                                 std::min(config.train.samples.count, data.training.size()));
  return run_training_job(
      context, {stage, config.train, *mesh, std::move(model), objective, std::move(prompts)});
}

}  // namespace tandem::launcher
