#include "launcher/stages/training_stage.h"

#include <chrono>
#include <numeric>

#include "models/generation/generate.h"
#include "runtime/base/log.h"
#include "train/objectives.h"

namespace tandem::launcher {

std::optional<parallel::Mesh> stage_mesh(const RunContext& context, const Stage& stage,
                                         const parallel::LayoutConfig& layout) {
  const bool member = context.world().rank() < layout.ranks();
  const parallel::Group group = context.world().split(member ? 0 : -1, stage.name);
  if (!member) return std::nullopt;
  return parallel::make_mesh(layout, group);
}

models::BuildOptions trained_options(const runtime::PrecisionPolicy& precision,
                                     const models::ActivationMemory& activations,
                                     const parallel::Mesh& mesh, models::Head head) {
  models::BuildOptions options;
  options.head = head;
  options.precision = precision;
  options.lay_over(mesh);
  options.activations = activations;
  return options;
}

models::BuildOptions trained_options(const train::TrainConfig& config, const parallel::Mesh& mesh,
                                     models::Head head) {
  models::BuildOptions options = trained_options(runtime::policy_of(config.precision, config.fp8),
                                                 config.activations, mesh, head);
  options.precision.master_weights = config.optimizer.master_weights;
  return options;
}

models::BuildOptions tuned_options(const TrainingStage& stage, const parallel::Mesh& mesh,
                                   models::Head head) {
  models::BuildOptions options = trained_options(stage.train, mesh, head);
  options.lora = stage.tuning.lora;
  options.quantize = stage.tuning.quantize;
  return options;
}

models::BuildOptions frozen_options(const runtime::PrecisionPolicy& precision,
                                    const parallel::Mesh& mesh, models::Head head) {
  models::BuildOptions options = trained_options(precision, {}, mesh, head);
  options.trainable = false;
  if (options.precision.fp8) options.precision.fp8->scaling = runtime::Fp8Scaling::kCurrent;
  return options;
}

runtime::AdamWOptions adamw_options(const train::OptimizerConfig& config, std::uint64_t seed) {
  return {.beta1 = config.beta1,
          .beta2 = config.beta2,
          .eps = config.eps,
          .weight_decay = config.weight_decay,
          .eight_bit = config.kind == train::OptimizerKind::kAdamW8Bit,
          .offload = config.offload,
          .stochastic_rounding = config.stochastic_rounding,
          .seed = seed};
}

train::EngineOptions engine_options(const train::OptimizerConfig& optimizer,
                                    const runtime::LossScaleOptions& loss_scale,
                                    train::Reproducible reproducible) {
  return {.reproducible = reproducible,
          .loss_scale = loss_scale,
          .gradient_reduce_dtype = optimizer.gradient_reduce_dtype};
}

void make_on_first_rank(const RunContext& context, const parallel::Mesh& mesh,
                        const std::string& what, const std::function<void()>& make) {
  // The launcher ends all ranks when one dies, so the wait ends in any case.
  mesh.world.set_deadline(std::chrono::hours(24 * 365));
  if (mesh.is_first_rank()) make();
  mesh.world.barrier(what);
  mesh.world.set_deadline(
      std::chrono::milliseconds(static_cast<std::int64_t>(context.recipe().timeout * 1000)));
}

data::ExampleStore prepare_examples(RunContext& context, const Stage& stage,
                                    const parallel::Mesh& mesh, const std::string& name,
                                    const ExampleRecipe& recipe, data::ReadCounts& counts) {
  const std::filesystem::path path = context.folder_of(stage) / (name + ".examples");
  make_on_first_rank(context, mesh, "tokenise the examples", [&] {
    data::build_example_file(path, recipe.fingerprint(), context.tokenizer().vocab_size(),
                             recipe.read);
  });
  const data::ReadCounts own = data::read_counts_of(path);
  if (own.skipped > 0) runtime::log_info("{}: {} bad records skipped", path.string(), own.skipped);
  if (own.dropped > 0)
    runtime::log_info(
        "{}: {} examples left out: nothing to learn within sequence_length, or their label is "
        "false",
        path.string(), own.dropped);
  counts.skipped += own.skipped;
  counts.dropped += own.dropped;
  return data::ExampleStore::open(path);
}

void add_counts(StageRecord& record, const data::ReadCounts& counts) {
  if (counts.skipped > 0)
    record.figures.emplace_back("skipped_records", static_cast<double>(counts.skipped));
  if (counts.dropped > 0)
    record.figures.emplace_back("dropped_examples", static_cast<double>(counts.dropped));
}

double TokenObjective::weight(const data::Batch& batch) const {
  return train::target_weight(batch);
}

train::Metrics TokenObjective::micro_batch(models::Model& model, const data::Batch& batch,
                                           double global_weight, bool backward) {
  return {{"loss", backward ? recorded_(model, batch, global_weight)
                            : train::token_loss(model, batch, global_weight, false)}};
}

StageRecord run_training_job(RunContext& context, TrainingJob job) {
  train::Engine engine(
      std::move(job.model), job.mesh, adamw_options(job.config.optimizer, context.seed()),
      engine_options(job.config.optimizer, job.config.loss_scale, job.config.reproducible));
  train::LoopOptions options;
  options.stage = job.stage.name;
  options.folder = context.folder_of(job.stage);
  options.seed = context.seed();
  options.tokenizer = &context.tokenizer();
  options.companions = std::move(job.companions);
  options.on_evaluation = [&](std::int64_t step, train::MetricSink& sink) {
    write_samples(context, engine.model(), job.mesh, job.sample_prompts, job.config.samples, step,
                  sink);
  };
  const train::LoopResult result = train::run_training(engine, job.objective, job.config, options);
  StageRecord record;
  record.result = train::checkpoint_path("", result.steps).string();
  record.figures = {{"steps", static_cast<double>(result.steps)},
                    {"tokens", static_cast<double>(result.tokens)},
                    {"seconds", result.seconds},
                    {"loss", result.final_loss}};
  if (job.objective.validation_data() != nullptr)
    record.figures.emplace_back("validation_loss", result.validation_loss);
  add_skipped_steps(record, engine);
  return record;
}

void add_skipped_steps(StageRecord& record, const train::Engine& engine) {
  if (const runtime::LossScaler* scaler = engine.loss_scaler())
    record.figures.emplace_back("skipped_steps", static_cast<double>(scaler->skipped()));
}

namespace {

// Texts that are only looked at must not end a run where a prompt and max_new_tokens exceed the
// model's positions: a long prompt loses its beginning. What an encoder reads has positions of its
// own.
SamplePrompts fitted(const models::Model& model, SamplePrompts prompts,
                     std::int64_t max_new_tokens) {
  const bool reads = model.kind() == models::ModelKind::kEncoderDecoder;
  const std::int64_t room = model.max_positions() - (reads ? 0 : max_new_tokens);
  for (auto& prompt : prompts)
    if (std::ssize(prompt) > room) prompt.erase(prompt.begin(), prompt.end() - room);
  return prompts;
}

}  // namespace

void write_samples(RunContext& context, models::Model& model, const parallel::Mesh& mesh,
                   const SamplePrompts& wanted, const train::SamplesConfig& config,
                   std::int64_t step, train::MetricSink& sink) {
  // Replicas that divide parameters need each other for a forward; the first rank writes.
  const bool takes_part = mesh.replicas.rank() == 0 || model.parameters().divides_parameters();
  if (wanted.empty() || config.count == 0 || !takes_part) return;
  const std::int64_t length = std::min(config.max_new_tokens, model.max_positions() - 1);
  const SamplePrompts prompts = fitted(model, wanted, length);
  const data::Tokenizer& tokenizer = context.tokenizer();
  const models::GenerateOptions options{
      .max_new_tokens = length,
      .sampling = {.temperature = static_cast<float>(config.temperature),
                   .top_k = config.top_k,
                   .top_p = static_cast<float>(config.top_p)},
      .eos_token_id = tokenizer.special_ids().eos,
      .seed = context.seed()};
  std::vector<std::int64_t> ids(prompts.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto generated = models::generate(model, prompts, ids, options);
  // What an encoder-decoder reads and writes is full of special tokens that say what is missing.
  const bool skip_special = model.kind() == models::ModelKind::kDecoder;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    sink.sample({{"step", step},
                 {"prompt", tokenizer.decode(prompts[i], skip_special)},
                 {"text", tokenizer.decode(generated[i].tokens, skip_special)}});
}

}  // namespace tandem::launcher
