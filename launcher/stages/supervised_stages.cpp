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

// Next-token prediction: all tokens in pretraining, completions in SFT.
class TokenObjective final : public train::Objective {
 public:
  TokenObjective(const Dataset& training, const Dataset* validation)
      : training_(training), validation_(validation) {}
  const Dataset& training_data() const override { return training_; }
  const Dataset* validation_data() const override { return validation_; }
  double weight(const Batch& batch) const override { return train::target_weight(batch); }
  Metrics micro_batch(models::Model& model, const Batch& batch, double global_weight,
                      bool backward) override {
    return {{"loss", train::token_loss(model, batch, global_weight, backward)}};
  }

 private:
  const Dataset& training_;
  const Dataset* validation_;
};

// The rest of a stage once its data is there. Ranks without a part in the mesh return an empty
// record.
StageRecord train_token_stage(RunContext& context, const Stage& stage, const TrainingStage& config,
                              const parallel::Mesh& mesh, const Dataset& training,
                              const Dataset* validation, SamplePrompts prompts) {
  TokenObjective objective(training, validation);
  train::Engine engine(build_model(context, config.from,
                                   build_options(config.train, mesh, models::Head::kLanguageModel)),
                       mesh, adamw_options(config.train.optimizer));
  return run_training_job(context, {stage, config.train, engine, objective, std::move(prompts)});
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

template <typename Examples>
SamplePrompts example_prompts(const Examples& view, std::int64_t count) {
  SamplePrompts prompts;
  for (std::int64_t i = 0; i < count; ++i) {
    const data::ExampleView example = view(i);
    if (example.prompt_length == 0) continue;
    prompts.emplace_back(
        example.tokens.begin(),
        example.tokens.begin() + static_cast<std::ptrdiff_t>(example.prompt_length));
  }
  return prompts;
}

}  // namespace

StageRecord run_pretrain_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<PretrainStage>(stage.config);
  const parallel::Group group = first_ranks(context, stage.ranks(), stage.name);
  if (group.size() == 0) return {};
  const parallel::Mesh mesh = parallel::make_mesh(config.layout, group);
  const data::Tokenizer& tokenizer = context.tokenizer();
  const auto tokens_path = [&](const data::DataConfig& source) {
    return context.folder_of(stage) /
           (&source == &config.validation ? "validation.tokens" : "training.tokens");
  };
  const auto load = [&](const data::DataConfig& source) {
    if (group.rank() == 0) data::build_token_file(source, tokenizer, tokens_path(source));
    group.barrier("tokenise the corpus");
    auto tokens =
        std::make_shared<const data::TokenFile>(data::TokenFile::open(tokens_path(source)));
    return data::make_pretrain_datasets(std::move(tokens), config.train.sequence_length,
                                        source.validation_fraction);
  };
  const auto data = load_data(config, load);
  const Dataset& shown =
      data.validation_or_null() != nullptr ? *data.validation_or_null() : data.training;
  return train_token_stage(context, stage, config, mesh, data.training, data.validation_or_null(),
                           first_tokens(shown, config.train.samples.count, 6));
}

StageRecord run_sft_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<SftStage>(stage.config);
  const parallel::Group group = first_ranks(context, stage.ranks(), stage.name);
  if (group.size() == 0) return {};
  const parallel::Mesh mesh = parallel::make_mesh(config.layout, group);
  const data::ChatTemplate chat = context.chat_template();
  const auto data = load_data(config, [&](const data::DataConfig& source) {
    return data::load_sft(source, chat, config.train.sequence_length);
  });
  const auto& shown = data.validation ? *data.validation : data.training;
  auto prompts = example_prompts([&](std::int64_t i) { return shown.example(i); },
                                 std::min(config.train.samples.count, shown.size()));
  return train_token_stage(context, stage, config, mesh, data.training, data.validation_or_null(),
                           std::move(prompts));
}

// ---- reward
// --------------------------------------------------------------------------------------------------------

namespace {

double pairs_of(const Batch& batch) {
  return static_cast<double>(batch.sequence_count()) / 2;
}

class RewardObjective final : public train::Objective {
 public:
  RewardObjective(const Dataset& training, const Dataset* validation,
                  const train::RewardConfig& config)
      : training_(training), validation_(validation), config_(config) {}
  const Dataset& training_data() const override { return training_; }
  const Dataset* validation_data() const override { return validation_; }
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
  const Dataset& training_;
  const Dataset* validation_;
  const train::RewardConfig& config_;
};

}  // namespace

StageRecord run_reward_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<RewardStage>(stage.config);
  const parallel::Group group = first_ranks(context, stage.ranks(), stage.name);
  if (group.size() == 0) return {};
  const parallel::Mesh mesh = parallel::make_mesh(config.layout, group);
  const data::ChatTemplate chat = context.chat_template();
  const auto data = load_data(config, [&](const data::DataConfig& source) {
    return data::load_preferences(source, chat, config.train.sequence_length);
  });
  RewardObjective objective(data.training, data.validation_or_null(), config.reward);
  models::BuildOptions options = build_options(config.train, mesh, models::Head::kScalar);
  options.scalar_head_std = models::kRewardHeadStd;
  train::Engine engine(build_model(context, config.from, options), mesh,
                       adamw_options(config.train.optimizer));
  return run_training_job(context, {stage, config.train, engine, objective, {}});
}

// ---- DPO
// -----------------------------------------------------------------------------------------------------------

namespace {

class DpoObjective final : public train::Objective {
 public:
  DpoObjective(const Dataset& training, const Dataset* validation, models::Model& reference,
               const train::DpoConfig& config)
      : training_(training),
        validation_(validation),
        reference_(reference),
        options_{config.beta, config.label_smoothing} {}
  const Dataset& training_data() const override { return training_; }
  const Dataset* validation_data() const override { return validation_; }
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
  const Dataset& training_;
  const Dataset* validation_;
  models::Model& reference_;
  train::DpoOptions options_;
};

}  // namespace

StageRecord run_dpo_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<DpoStage>(stage.config);
  const parallel::Group group = first_ranks(context, stage.ranks(), stage.name);
  if (group.size() == 0) return {};
  const parallel::Mesh mesh = parallel::make_mesh(config.layout, group);
  const data::ChatTemplate chat = context.chat_template();
  const auto data = load_data(config, [&](const data::DataConfig& source) {
    return data::load_preferences(source, chat, config.train.sequence_length);
  });
  models::BuildOptions options = build_options(config.train, mesh, models::Head::kLanguageModel);
  train::Engine engine(build_model(context, config.from, options), mesh,
                       adamw_options(config.train.optimizer));
  options.trainable = false;
  options.recompute = false;
  const auto reference = build_model(context, config.reference_from, options);
  DpoObjective objective(data.training, data.validation_or_null(), *reference, config.dpo);
  auto prompts = example_prompts([&](std::int64_t i) { return data.training.chosen(i); },
                                 std::min(config.train.samples.count, data.training.size()));
  return run_training_job(context, {stage, config.train, engine, objective, std::move(prompts)});
}

}  // namespace tandem::launcher
