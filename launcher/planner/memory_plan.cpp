#include "launcher/planner/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "data/batch.h"
#include "data/context_part.h"
#include "data/datasets/pairs.h"
#include "launcher/planner/role_planner.h"
#include "launcher/stages/ppo_roles.h"
#include "launcher/stages/text_noise.h"
#include "launcher/stages/training_stage.h"
#include "models/generation/generate.h"
#include "rl/model_roles.h"
#include "train/classification.h"
#include "train/contrastive.h"
#include "train/objectives.h"

namespace tandem::launcher {

namespace {

using parallel::LayoutConfig;
using parallel::Mesh;
using runtime::DeviceType;

void generate_on_paper(models::Model& model, std::int64_t count, std::int64_t prompt_length,
                       std::int64_t new_tokens) {
  if (count == 0) return;
  const std::vector<std::vector<std::int32_t>> prompts(
      static_cast<std::size_t>(count),
      std::vector<std::int32_t>(static_cast<std::size_t>(prompt_length), 0));
  std::vector<std::int64_t> ids(prompts.size());
  std::iota(ids.begin(), ids.end(), 0);
  models::GenerateOptions options;
  options.max_new_tokens = new_tokens;
  models::generate(model, prompts, ids, options);
}

// What a role works on at a time: see rl::kRoleBatchTokens.
data::Batch role_batch(std::int64_t length, std::int64_t prompt = 0) {
  return full_batch(std::max<std::int64_t>(1, rl::kRoleBatchTokens / length), length, prompt);
}

void score_on_paper(models::Model& model, std::int64_t length) {
  const data::Batch batch = role_batch(length);
  train::with_scores(model, batch, train::last_token_rows(batch));
}

void log_probs_on_paper(models::Model& model, std::int64_t length, std::int64_t prompt) {
  train::with_log_probs(model, role_batch(length, prompt), 1.0f);
}

// As many prompts as are sampled together.
void sample_on_paper(models::Model& model, const rl::SamplingConfig& sampling) {
  generate_on_paper(model, models::GenerateOptions{}.batch_size, sampling.prompt_length,
                    sampling.response_length);
}

// A vocabulary for texts that are all one token: noise over them has the sizes of noise over any
// text.
data::NoiseVocabulary vocabulary_on_paper() {
  data::NoiseVocabulary vocabulary;
  vocabulary.size = 1;
  vocabulary.mask = 0;
  vocabulary.sentinels.resize(100, 0);
  vocabulary.special = vocabulary.continues_word = vocabulary.ends_sentence = {false};
  return vocabulary;
}

// The plan of one stage, by kind.
class StagePlanner {
 public:
  // As seen by a rank of the pipeline's stage `pipeline_stage`.
  StagePlanner(MemoryPlanner& planner, const Stage& stage, std::int64_t pipeline_stage,
               bool records_steps)
      : planner_(planner, records_steps), stage_(stage), pipeline_stage_(pipeline_stage) {}

  StageMemory plan() {
    memory_.stage = stage_.name;
    std::visit([&](const auto& config) { add(config); }, stage_.config);
    return std::move(memory_);
  }

 private:
  void add(const TokenizerStage&) {}
  void add(const PretrainStage& stage) {
    add_tokens(stage, pretraining_batch(stage), planner_.sizes_of(stage.from)->kind());
  }
  void add(const SftStage& stage) {
    const models::ModelKind kind = planner_.sizes_of(stage.from)->kind();
    if (kind != models::ModelKind::kEncoderDecoder) return add_causal(stage);
    // Both texts as long as they may be.
    const std::vector<data::TokenId> text(static_cast<std::size_t>(stage.train.sequence_length), 0);
    data::BatchBuilder batch;
    for (std::int64_t i = 0; i < stage.train.micro_batch(); ++i) batch.add_pair(text, text, 0, i);
    add_tokens(stage, batch.take(), kind);
  }

  // Full sequences under the stage's noise.
  data::Batch pretraining_batch(const PretrainStage& stage) {
    const models::AnyConfig sizes = planner_.sizes_of(stage.from);
    const auto noise = make_noise(stage.objective_for(sizes->text_objective()), stage.noise,
                                  vocabulary_on_paper(), 0);
    const train::TrainConfig& train = stage.train;
    if (noise == nullptr) return full_batch(train.micro_batch(), train.sequence_length);
    const std::vector<data::TokenId> text(static_cast<std::size_t>(train.sequence_length), 0);
    data::Draws draws(runtime::Philox(0, "memory plan"));
    data::BatchBuilder batch;
    for (std::int64_t i = 0; i < train.micro_batch(); ++i) noise->append(text, draws, i, batch);
    return batch.take();
  }

  RolePlanner::Training training(const TrainingStage& stage, models::Head head) {
    const Mesh mesh = planned(stage.layout);
    const std::int64_t own = share(stage.train.global_batch_size, stage.layout.data_parallel);
    micro_ = stage.train.micro_batch();
    memory_.pipeline = stage.layout.pipeline_shape();
    memory_.micro_batches = share(own, micro_);
    return {.role = "model",
            .from = stage.from,
            .layout = stage.layout,
            .options = tuned_options(stage, mesh, head),
            .optimizer = stage.train.optimizer,
            .micro_batch_size = micro_,
            .micro_batches = share(own, micro_),
            .length = stage.train.sequence_length,
            .tokens = micro_ * stage.train.sequence_length,
            .reproducible = stage.train.reproducible};
  }

  auto samples(const TrainingStage& stage) {
    return [&stage](models::Model& model) {
      const train::SamplesConfig& samples = stage.train.samples;
      const std::int64_t prompt =
          std::min(stage.train.sequence_length, model.max_positions() - samples.max_new_tokens);
      if (prompt > 0) generate_on_paper(model, samples.count, prompt, samples.max_new_tokens);
    };
  }

  // What the first rank of context parallelism has; the others have as much.
  static data::Batch part_of(const data::Batch& whole, const TrainingStage& stage) {
    return data::context_part(whole, 0, static_cast<int>(stage.layout.context_parallel));
  }

  void add_causal(const TrainingStage& stage) {
    add_tokens(stage, full_batch(stage.train.micro_batch(), stage.train.sequence_length),
               models::ModelKind::kDecoder);
  }

  void add_tokens(const TrainingStage& stage, const data::Batch& whole, models::ModelKind kind) {
    const data::Batch micro_batch = part_of(whole, stage);
    RolePlanner::Training job = training(stage, models::Head::kLanguageModel);
    job.tokens = whole.read_count();
    job.micro_batch = [&](models::Model& model) { train::token_loss(model, micro_batch, 1, true); };
    if (kind != models::ModelKind::kEncoder) job.generate = samples(stage);
    memory_.roles.push_back(planner_.trained(job, planned(stage.layout)));
  }

  void add(const RewardStage& stage) {
    RolePlanner::Training job = training(stage, models::Head::kScalar);
    const data::Batch pairs = part_of(full_batch(2 * micro_, stage.train.sequence_length), stage);
    job.tokens *= 2;
    job.micro_batch = [&](models::Model& model) {
      train::reward_loss(model, pairs, 1, {}, false, true);
    };
    memory_.roles.push_back(planner_.trained(job, planned(stage.layout)));
  }

  void add(const ClassifyStage& stage) {
    RolePlanner::Training job = training(stage, models::Head::kClassification);
    job.options.labels = stage.classification.given_labels();
    data::Batch micro_batch = part_of(full_batch(micro_, stage.train.sequence_length), stage);
    job.micro_batch = [&](models::Model& model) {
      const bool one = model.labels().problem == models::ProblemType::kSingleLabel;
      micro_batch.labels.assign(
          static_cast<std::size_t>(micro_ * (one ? 1 : model.labels().count())), 0.0f);
      train::classification_loss(model, micro_batch, 1, true);
    };
    memory_.roles.push_back(planner_.trained(job, planned(stage.layout)));
  }

  void add(const ContrastiveStage& stage) {
    RolePlanner::Training job = training(stage, models::Head::kHiddenStates);
    const data::Batch whole =
        full_batch(data::texts_per_sample(stage.data) * micro_, stage.train.sequence_length);
    const data::Batch texts = part_of(whole, stage);
    job.tokens = whole.token_count();
    const models::Pooling pooling = stage.contrastive.pooling_for(models::Pooling::kMean);
    job.micro_batch = [&](models::Model& model) {
      train::with_embeddings(model, texts, pooling,
                             [](const std::vector<float>& rows) { return rows; });
    };
    memory_.roles.push_back(planner_.trained(job, planned(stage.layout)));
  }

  void add(const DpoStage& stage) {
    RolePlanner::Training job = training(stage, models::Head::kLanguageModel);
    const data::Batch pairs = part_of(full_batch(2 * micro_, stage.train.sequence_length), stage);
    job.tokens *= 2;
    const auto options = frozen_options(runtime::policy_of(stage.train.precision),
                                        planned(stage.layout), models::Head::kLanguageModel);
    const auto other =
        stage.policy_is_reference() ? nullptr : planner_.build(stage.reference_from, options);
    job.micro_batch = [&](models::Model& model) {
      const std::vector<float> reference =
          train::reference_log_probs(other != nullptr ? *other : model, pairs);
      train::dpo_step(model, pairs, reference, 1, {0.1, 0.0}, true);
    };
    job.generate = samples(stage);
    memory_.places = RolePlaces::kTogether;
    memory_.roles.push_back(planner_.trained(job, planned(stage.layout)));
    if (other == nullptr) return;
    memory_.roles.push_back(
        planner_.frozen("reference", stage.reference_from, stage.layout, options,
                        [&](models::Model& model) { train::reference_log_probs(model, pairs); }));
  }

  void add(const PpoStage& stage) {
    const rl::PpoConfig& ppo = stage.ppo;
    const std::int64_t length = ppo.prompt_length + ppo.response_length;
    memory_.places = stage.placement.shared ? RolePlaces::kTogether : RolePlaces::kApart;
    add_policy(stage, length);
    add_critic(stage, length);
    if (!stage.policy_is_reference())
      add_frozen_role(stage, Role::kReference, stage.reference_from, reference_use(stage));
    add_frozen_role(stage, Role::kReward, stage.reward_from,
                    [&](models::Model& model) { score_on_paper(model, length); });
  }

  // A layout's calls of a role for all rollouts of an iteration.
  static std::int64_t role_calls(const PpoStage& stage, const LayoutConfig& layout) {
    const std::int64_t length = stage.ppo.prompt_length + stage.ppo.response_length;
    return share(share(stage.ppo.rollout_batch_size, layout.data_parallel),
                 role_batch(length).sequence_count());
  }

  static ModelUse reference_use(const PpoStage& stage) {
    const std::int64_t prompt = stage.ppo.prompt_length,
                       length = prompt + stage.ppo.response_length;
    return [prompt, length](models::Model& model) {
      const models::WithoutAdapter frozen(model.adapter());
      log_probs_on_paper(model, length, prompt);
    };
  }

  // Layout and options of a role, and how many samples of a minibatch it takes at a time.
  RolePlanner::Training role(const PpoStage& stage, Role role, const std::string& from) {
    const LayoutConfig& layout =
        placement_of(stage, stage.placement.shared ? Role::kPolicy : role).layout;
    const models::Head head =
        role == Role::kPolicy ? models::Head::kLanguageModel : models::Head::kScalar;
    const std::int64_t own = share(share(stage.ppo.rollout_batch_size, stage.ppo.num_mini_batches),
                                   layout.data_parallel);
    micro_ = stage.ppo.micro_batch_size;
    return {.role = name_of(role),
            .from = from,
            .layout = layout,
            .options = role_options(stage, role, planned(layout), head),
            .optimizer = role == Role::kPolicy ? stage.ppo.optimizer : stage.ppo.critic_optimizer,
            .micro_batch_size = micro_,
            .micro_batches = share(own, micro_),
            .length = stage.ppo.prompt_length + stage.ppo.response_length,
            .tokens = micro_ * (stage.ppo.prompt_length + stage.ppo.response_length)};
  }

  void add_policy(const PpoStage& stage, std::int64_t length) {
    const rl::PpoConfig& ppo = stage.ppo;
    RolePlanner::Training job = role(stage, Role::kPolicy, stage.from);
    job.micro_batch = [&](models::Model& model) {
      train::with_log_probs(model, full_batch(micro_, length, ppo.prompt_length), 1.0f,
                            [](const train::TokenLogProbs& now) { return now.log_probs; });
    };
    const std::int64_t own = share(ppo.rollout_batch_size, job.layout.data_parallel);
    job.generate = [&](models::Model& model) {
      generate_on_paper(model, own, ppo.prompt_length, ppo.response_length);
    };
    job.uses = {{"sampling", 1, job.generate},
                {"scoring", share(own, micro_), [&](models::Model& model) {
                   train::with_log_probs(model, full_batch(micro_, length, ppo.prompt_length),
                                         1.0f);
                 }}};
    if (stage.policy_is_reference())
      job.uses.push_back({"scoring", role_calls(stage, job.layout), reference_use(stage)});
    memory_.roles.push_back(planner_.trained(job, planned(job.layout)));
  }

  void add_critic(const PpoStage& stage, std::int64_t length) {
    RolePlanner::Training job = role(stage, Role::kCritic, stage.critic_from);
    job.micro_batch = [&](models::Model& model) {
      const data::Batch batch = full_batch(micro_, length);
      std::vector<std::int32_t> rows(batch.tokens.size());
      std::iota(rows.begin(), rows.end(), 0);
      train::with_scores(model, batch, rows,
                         [](const std::vector<float>& values) { return values; });
    };
    job.generate = [&](models::Model& model) { score_on_paper(model, length); };
    job.uses = {{"scoring", role_calls(stage, job.layout), job.generate}};
    memory_.roles.push_back(planner_.trained(job, planned(job.layout)));
  }

  void add_frozen_role(const PpoStage& stage, Role role, const std::string& from,
                       const ModelUse& score) {
    const LayoutConfig& layout =
        placement_of(stage, stage.placement.shared ? Role::kPolicy : role).layout;
    const models::Head head =
        role == Role::kReward ? models::Head::kScalar : models::Head::kLanguageModel;
    memory_.roles.push_back(planner_.frozen(
        name_of(role), from, layout, role_options(stage, role, planned(layout), head), score,
        kNothing, {{"scoring", role_calls(stage, layout), score}}));
  }

  void add(const RejectionSamplingStage& stage) {
    const Mesh mesh = planned(stage.layout);
    const std::int64_t length = stage.sampling.prompt_length + stage.sampling.response_length;
    TrainingStage tuning;
    tuning.from = stage.from;
    tuning.train = stage.train;
    tuning.layout = stage.layout;
    add_causal(tuning);
    // The models that sample and judge are gone before training begins: the stage's peak is the
    // larger of the two.
    Gauge gauge;
    const auto sampler =
        planner_.build(stage.from, frozen_options(runtime::policy_of(stage.train.precision), mesh,
                                                  models::Head::kLanguageModel));
    const auto reward = planner_.build(
        stage.reward_from,
        frozen_options(runtime::policy_of(stage.train.precision), mesh, models::Head::kScalar));
    RoleMemory memory{
        .role = "sampling", .layout = stage.layout.str(), .ranks = stage.layout.ranks()};
    memory.parameters = gauge.held();
    memory.generation = gauge.transient([&] { sample_on_paper(*sampler, stage.sampling); });
    memory.activations = gauge.transient([&] { score_on_paper(*reward, length); });
    memory_.roles.push_back(memory);
  }

  void add(const EvaluateStage& stage) {
    const Mesh mesh = planned(stage.layout);
    const auto options =
        frozen_options(runtime::policy_of(stage.precision), mesh, models::Head::kLanguageModel);
    const std::int64_t length = stage.sampling.prompt_length + stage.sampling.response_length;
    memory_.places = RolePlaces::kTogether;
    memory_.roles.push_back(
        planner_.frozen("model", stage.from, stage.layout, options, kNothing,
                        [&](models::Model& model) { sample_on_paper(model, stage.sampling); }));
    memory_.roles.push_back(planner_.frozen(
        "baseline", stage.baseline_from, stage.layout, options, [&](models::Model& model) {
          log_probs_on_paper(model, length, stage.sampling.prompt_length);
        }));
    if (stage.reward_from.empty()) return;
    memory_.roles.push_back(planner_.frozen(
        "reward", stage.reward_from, stage.layout,
        frozen_options(runtime::policy_of(stage.precision), mesh, models::Head::kScalar),
        [&](models::Model& model) { score_on_paper(model, length); }));
  }

  Mesh planned(const LayoutConfig& layout) const {
    const std::int64_t of_a_stage = layout.ranks() / layout.pipeline_parallel;
    return parallel::planned_mesh(layout, static_cast<int>(pipeline_stage_ * of_a_stage));
  }

  RolePlanner planner_;
  const Stage& stage_;
  std::int64_t pipeline_stage_;
  StageMemory memory_;
  std::int64_t micro_ = 1;
};

}  // namespace

std::int64_t pipeline_stages(const Stage& stage) {
  return std::visit(
      [](const auto& config) {
        if constexpr (requires { config.layout; }) return config.layout.pipeline_parallel;
        return std::int64_t{1};
      },
      stage.config);
}

double StageMemory::pipeline_wait() const {
  return parallel::simulate_pipeline(pipeline, micro_batches, 1, 2).bubble;
}

std::int64_t StageMemory::peak_of_a_rank() const {
  std::int64_t held = 0, transient = 0, peak = 0;
  for (const RoleMemory& role : roles) {
    held += role.held();
    transient = std::max(transient, role.transient());
    peak = std::max(peak, role.peak());
  }
  return places == RolePlaces::kTogether ? held + transient : peak;
}

std::int64_t StageMemory::peak_of(std::int64_t rank) const {
  if (places != RolePlaces::kApart)
    return !roles.empty() && rank < roles.front().ranks ? peak_of_a_rank() : 0;
  for (const RoleMemory& role : roles) {
    if (rank < role.ranks) return role.peak();
    rank -= role.ranks;
  }
  return 0;
}

MemoryPlanner::MemoryPlanner(const Recipe& recipe, DeviceType device)
    : context_(recipe, parallel::local_group(), kPaper), device_(device) {}

StageMemory MemoryPlanner::plan(const Stage& stage) {
  const runtime::StandingFor device(device_);
  StageMemory largest;
  for (std::int64_t rank = 0; rank < pipeline_stages(stage); ++rank) {
    StageMemory plan = StagePlanner(*this, stage, rank, false).plan();
    if (rank == 0 || plan.peak_of_a_rank() > largest.peak_of_a_rank()) largest = std::move(plan);
  }
  return largest;
}

StageMemory MemoryPlanner::plan_with_steps(const Stage& stage, int pipeline_stage) {
  const runtime::StandingFor device(device_);
  return StagePlanner(*this, stage, pipeline_stage, true).plan();
}

std::vector<StageMemory> MemoryPlanner::plan_all() {
  std::vector<StageMemory> plans;
  for (const Stage& stage : recipe().stages) plans.push_back(plan(stage));
  return plans;
}

}  // namespace tandem::launcher
