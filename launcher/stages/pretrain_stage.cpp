// Pretraining: a corpus, tokenised once, from which every family learns by its own objective.
#include <algorithm>

#include "data/datasets/pretrain.h"
#include "data/noise/noisy_dataset.h"
#include "data/token_file.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/text_noise.h"
#include "launcher/stages/training_stage.h"

namespace tandem::launcher {

using data::Dataset;

namespace {

// What a decoder goes on from in samples.
constexpr std::size_t kPromptTokens = 6;

StageSets<data::PretrainDataset> load_texts(RunContext& context, const Stage& stage,
                                            const parallel::Mesh& mesh, data::ReadCounts& counts) {
  const auto& config = std::get<PretrainStage>(stage.config);
  return load_sets(config, [&](const data::DataConfig& source, const std::string& name) {
    const std::filesystem::path path = context.folder_of(stage) / (name + ".tokens");
    make_on_first_rank(context, mesh, "tokenise the corpus",
                       [&] { data::build_token_file(source, context.tokenizer(), path); });
    auto tokens = std::make_shared<const data::TokenFile>(data::TokenFile::open(path));
    counts.skipped += tokens->skipped();
    return data::make_pretrain_datasets(std::move(tokens), config.train.sequence_length,
                                        source.validation_fraction);
  });
}

models::TextObjective objective_of(const PretrainStage& config, const models::Model& model) {
  const models::TextObjective objective = config.objective_for(model.text_objective());
  if (!suits(objective, model.kind()))
    runtime::throw_error("the model cannot be trained on the objective '{}'; use '{}'",
                         name_of(objective), name_of(model.text_objective()));
  return objective;
}

// A decoder's samples go on from the beginnings of texts; an encoder-decoder's answer what its
// encoder reads; an encoder writes nothing.
SamplePrompts sample_prompts(const models::Model& model, const Dataset& dataset,
                             const train::SamplesConfig& config) {
  SamplePrompts prompts;
  if (model.kind() == models::ModelKind::kEncoder) return prompts;
  for (std::int64_t i = 0; i < std::min(config.count, dataset.size()); ++i) {
    const data::SampleId sample[] = {i};
    const data::Batch batch = data::make_batch(dataset, sample);
    const bool reads = model.kind() == models::ModelKind::kEncoderDecoder;
    const auto& tokens = reads ? batch.encoder.tokens : batch.tokens;
    const auto whole =
        static_cast<std::size_t>(reads ? batch.encoder.cu_seqlens[1] : batch.cu_seqlens[1]);
    const std::size_t length = reads ? whole : std::min(whole, kPromptTokens);
    prompts.emplace_back(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(length));
  }
  return prompts;
}

}  // namespace

StageRecord run_pretrain_stage(RunContext& context, const Stage& stage) {
  const auto& config = std::get<PretrainStage>(stage.config);
  const auto mesh = stage_mesh(context, stage, config.layout);
  if (!mesh) return {};
  auto model = build_model(context, config.from,
                           trained_options(config.train, *mesh, models::Head::kLanguageModel));
  const std::unique_ptr<data::Noise> noise = make_noise(
      objective_of(config, *model), config.noise,
      data::noise_vocabulary(context.tokenizer(), config.noise), model->decoder_start_token());
  data::ReadCounts counts;
  const auto texts = load_texts(context, stage, *mesh, counts);

  const auto run = [&](const auto& sets) {
    const StageData data(sets, context.seed());
    TokenObjective objective(data.training(), data.validation_or_null(), config.cuda_graphs);
    SamplePrompts prompts = sample_prompts(*model, sets.shown(), config.train.samples);
    StageRecord record = run_training_job(
        context, {stage, config.train, *mesh, std::move(model), objective, std::move(prompts)});
    add_counts(record, counts);
    return record;
  };
  if (noise == nullptr) return run(texts);
  StageSets<data::NoisyDataset> exercises{.weights = texts.weights};
  for (const auto& set : texts.training)
    exercises.training.emplace_back(set, *noise, context.seed());
  for (const auto& set : texts.validation)
    exercises.validation.emplace_back(set, *noise, context.seed());
  return run(exercises);
}

}  // namespace tandem::launcher
