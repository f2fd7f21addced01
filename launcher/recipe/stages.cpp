#include "launcher/recipe/stages.h"

#include <array>

#include "runtime/base/error.h"

namespace tandem::launcher {

using runtime::FieldVisitor;

namespace {

struct KindRow {
  StageKind kind;
  std::string_view name;
  std::string_view summary;
  StageConfig (*make)();
};

template <typename Config>
StageConfig make_default() {
  return Config{};
}

constexpr std::array<KindRow, 10> kKinds{{
    {StageKind::kTokenizer, "tokenizer", "trains a tokenizer on text",
     make_default<TokenizerStage>},
    {StageKind::kPretrain, "pretrain", "trains a language model on text, from the recipe's `model`",
     make_default<PretrainStage>},
    {StageKind::kSft, "sft",
     "fine-tunes a language model on prompts and completions, or on conversations",
     make_default<SftStage>},
    {StageKind::kReward, "reward", "trains a Bradley–Terry reward model on preferences",
     make_default<RewardStage>},
    {StageKind::kDpo, "dpo", "aligns a language model to preferences without a reward model (DPO)",
     make_default<DpoStage>},
    {StageKind::kPpo, "ppo",
     "aligns a language model by reinforcement learning from a reward model (PPO)",
     make_default<PpoStage>},
    {StageKind::kRejectionSampling, "rejection_sampling",
     "samples responses, keeps those that the reward model likes best, and fine-tunes on them",
     make_default<RejectionSamplingStage>},
    {StageKind::kEvaluate, "evaluate",
     "compares the models before and after on held-out prompts and prints a summary",
     make_default<EvaluateStage>},
    {StageKind::kClassify, "classify",
     "fine-tunes a model to give texts labels, or numbers (sequence classification and regression)",
     make_default<ClassifyStage>},
    {StageKind::kContrastive, "contrastive",
     "fine-tunes an embedding model on texts that belong together: each is to be closer to its own "
     "than to the others of the global batch",
     make_default<ContrastiveStage>},
}};

constexpr std::array<StageKind, kKinds.size()> kOrder = [] {
  std::array<StageKind, kKinds.size()> kinds{};
  for (std::size_t i = 0; i < kinds.size(); ++i) kinds[i] = kKinds[i].kind;
  return kinds;
}();

constexpr std::string_view kFromHelp =
    "earlier stage, or directory, whose model is trained; default: the closest earlier stage that "
    "makes a language "
    "model, or else `model`";
constexpr std::string_view kRewardFromHelp =
    "earlier stage, or directory, with the reward model; default: the closest earlier reward stage";
constexpr std::string_view kLayoutHelp =
    "how the model is laid over the ranks; default: `data_parallel` over all ranks";

// PretrainObjective's names: auto, then those of models::TextObjective in their order.
constexpr std::array<std::string_view, 5> kObjectives{"auto", "causal", "masked", "span_corruption",
                                                      "infilling"};

}  // namespace

void TokenizerStage::visit_fields(FieldVisitor& v) {
  v.nested({.name = "data", .help = "the text to learn from", .required = true}, data);
  tokenizer.visit_fields(v);
}

namespace {

void visit_quantize(FieldVisitor& v, std::string_view help, runtime::QuantFormat& format) {
  v.choice({"quantize", help}, format, std::span(runtime::kQuantFormatNames));
}

}  // namespace

void FineTuning::visit_fields(FieldVisitor& v) {
  v.nested({"lora",
            "trains a low-rank adapter instead of the model, which stays as it is (LoRA); the "
            "stage's checkpoints are PEFT's directories"},
           lora);
  visit_quantize(v,
                 "how the linear layers of a model below an adapter are held: in 8 bits, or in 4 "
                 "(nf4: with lora, this is QLoRA)",
                 quantize);
}

void TrainingStage::visit_fields(FieldVisitor& v) {
  v.field({"from", kFromHelp}, from);
  v.nested({.name = "data", .help = "the data to train on", .required = true}, data);
  v.nested({"validation",
            "held-out data for evaluations; default: what data.validation_fraction holds out"},
           validation);
  train.visit_fields(v);
  v.nested({"layout", kLayoutHelp}, layout);
}

bool suits(models::TextObjective objective, models::ModelKind kind) {
  switch (objective) {
    case models::TextObjective::kCausal:
      return kind == models::ModelKind::kDecoder;
    case models::TextObjective::kMasked:
      return kind == models::ModelKind::kEncoder;
    case models::TextObjective::kSpanCorruption:
    case models::TextObjective::kInfilling:
      return kind == models::ModelKind::kEncoderDecoder;
  }
  return false;
}

std::string_view name_of(models::TextObjective objective) {
  return kObjectives[static_cast<std::size_t>(objective) + 1];
}

models::TextObjective PretrainStage::objective_for(models::TextObjective family) const {
  if (objective == PretrainObjective::kAuto) return family;
  return static_cast<models::TextObjective>(static_cast<int>(objective) - 1);
}

namespace {

void visit_graphs(FieldVisitor& v, bool& cuda_graphs) {
  v.field({"cuda_graphs",
           "a GPU records forward and backward of a micro-batch once and submits them as a whole, "
           "which spares the host a call for every kernel; for small models"},
          cuda_graphs);
}

}  // namespace

void PretrainStage::visit_fields(FieldVisitor& v) {
  TrainingStage::visit_fields(v);
  visit_graphs(v, cuda_graphs);
  v.choice({"objective",
            "how text is made into exercises: the next token (causal, for decoders), hidden tokens "
            "(masked, for encoders), missing spans or a whole disordered text (span_corruption, "
            "infilling; for encoder-decoders); auto: what the family was published with"},
           objective, std::span(kObjectives));
  v.nested({"noise", "what is hidden from the model, for all objectives but causal"}, noise);
}

void SftStage::visit_fields(FieldVisitor& v) {
  TrainingStage::visit_fields(v);
  visit_graphs(v, cuda_graphs);
  masks.visit_fields(v);
  tuning.visit_fields(v);
}

void RewardStage::visit_fields(FieldVisitor& v) {
  TrainingStage::visit_fields(v);
  tuning.visit_fields(v);
  reward.visit_fields(v);
}

void ClassifyStage::visit_fields(FieldVisitor& v) {
  TrainingStage::visit_fields(v);
  classification.visit_fields(v);
}

void ContrastiveStage::visit_fields(FieldVisitor& v) {
  TrainingStage::visit_fields(v);
  contrastive.visit_fields(v);
}

void DpoStage::visit_fields(FieldVisitor& v) {
  TrainingStage::visit_fields(v);
  v.field({"reference_from",
           "earlier stage, or directory, with the frozen reference; default: as `from`, and with "
           "`lora` the policy without its adapter"},
          reference_from);
  tuning.visit_fields(v);
  dpo.visit_fields(v);
}

void RolePlacement::visit_fields(FieldVisitor& v) {
  v.field({"ranks",
           "ranks of the role; 0: as many as its layout needs, and for the policy what the others "
           "leave",
           "ranks"},
          ranks);
  layout.visit_fields(v);
  v.choice({"precision", "numbers of the role's forward and backward; default: the stage's"},
           precision, train::kPrecisions);
  visit_quantize(v, "how the linear layers of a frozen role (reference, reward) are held",
                 quantize);
}

void Placement::visit_fields(FieldVisitor& v) {
  v.field({"shared",
           "all four models on the same ranks, in the policy's layout, whatever layouts the other "
           "roles are given; default: false where a role below is given, else true"},
          shared);
  v.nested({"policy", "the model that is trained and samples the responses"}, policy);
  v.nested(
      {"critic", "the model that predicts the return at each token, trained beside the policy"},
      critic);
  v.nested({"reference", "the frozen model that the policy is held to"}, reference);
  v.nested({"reward", "the frozen model that scores whole responses"}, reward);
}

void ServiceConfig::visit_fields(FieldVisitor& v) {
  v.field({"host",
           "address at which the roles' services listen; 0.0.0.0 for roles on several machines"},
          host);
  v.field({"port", "port of the coordinator; 0 takes a free one"}, port);
  v.field(
      {"timeout", "longest wait for a role; then the run ends with an error that names it", "s"},
      timeout);
}

void PpoStage::visit_fields(FieldVisitor& v) {
  v.field({"from", kFromHelp}, from);
  v.field({"reference_from",
           "earlier stage, or directory, with the frozen reference; default: as `from`, and with "
           "`lora` the policy without its adapter where they share ranks"},
          reference_from);
  v.field({"critic_from",
           "earlier stage, or directory, that the critic starts from; default: as `reward_from`"},
          critic_from);
  v.field({"reward_from", kRewardFromHelp}, reward_from);
  v.nested({.name = "prompts", .help = "the prompts that are answered", .required = true}, prompts);
  v.nested(
      {"validation",
       "held-out prompts for evaluations; default: what prompts.validation_fraction holds out"},
      validation);
  ppo.visit_fields(v);
  tuning.visit_fields(v);
  v.nested({"placement",
            "which ranks do what; without `shared`, the roles' ranks add up to those started"},
           placement);
  v.nested({"services", "how roles that do not share ranks reach each other"}, services);
}

void RejectionSamplingStage::visit_fields(FieldVisitor& v) {
  v.field({"from", kFromHelp}, from);
  v.field({"reward_from", kRewardFromHelp}, reward_from);
  v.nested({.name = "prompts", .help = "the prompts that are answered", .required = true}, prompts);
  v.field({"num_samples", "responses sampled to each prompt", "responses"}, num_samples);
  v.field({"keep", "best responses to each prompt that are trained on", "responses"}, keep);
  sampling.visit_fields(v);
  train.visit_fields(v);
  v.nested({"layout", kLayoutHelp}, layout);
}

void EvaluateStage::visit_fields(FieldVisitor& v) {
  v.field({"from",
           "earlier stage, or directory, whose model is judged; default: the closest earlier stage "
           "that makes a "
           "language model"},
          from);
  v.field(
      {"baseline_from",
       "earlier stage, or directory, that it is compared with, also in KL; default: what `from` "
       "itself was trained from"},
      baseline_from);
  v.field({"reward_from",
           "earlier stage, or directory, with the reward model that scores; default: the closest "
           "earlier "
           "reward stage, or none"},
          reward_from);
  v.nested({.name = "prompts", .help = "held-out prompts", .required = true}, prompts);
  v.field({"lexicon",
           "words and their valence (word, tab, number), for a score that training never saw; "
           "empty: none"},
          lexicon);
  v.field({"num_samples", "responses to each prompt", "responses"}, num_samples);
  v.field({"shown", "prompts whose responses are printed side by side", "prompts"}, shown);
  sampling.visit_fields(v);
  train::visit_precision(v, precision);
  v.nested({"layout", kLayoutHelp}, layout);
}

bool trains_in_step(StageKind kind) {
  return kind == StageKind::kPretrain || kind == StageKind::kSft || kind == StageKind::kReward ||
         kind == StageKind::kDpo || kind == StageKind::kClassify || kind == StageKind::kContrastive;
}

std::string_view name_of(StageKind kind) {
  return kKinds[static_cast<std::size_t>(kind)].name;
}
std::string_view summary_of(StageKind kind) {
  return kKinds[static_cast<std::size_t>(kind)].summary;
}
std::span<const StageKind> all_stage_kinds() {
  return kOrder;
}
StageConfig make_stage(StageKind kind) {
  return kKinds[static_cast<std::size_t>(kind)].make();
}

std::string Stage::from() const {
  return std::visit(
      [](const auto& stage) -> std::string {
        if constexpr (requires { stage.from; }) return stage.from;
        return "";
      },
      config);
}

bool Stage::makes_language_model() const {
  switch (kind()) {
    case StageKind::kPretrain:
    case StageKind::kSft:
    case StageKind::kDpo:
    case StageKind::kPpo:
    case StageKind::kRejectionSampling:
      return true;
    case StageKind::kTokenizer:
    case StageKind::kReward:
    case StageKind::kEvaluate:
    case StageKind::kClassify:
    case StageKind::kContrastive:
      return false;
  }
  return false;
}

std::int64_t Stage::ranks() const {
  return std::visit(
      [](const auto& stage) -> std::int64_t {
        if constexpr (requires { stage.placement; }) return stage.placement.ranks();
        if constexpr (requires { stage.layout; }) return stage.layout.ranks();
        return 1;
      },
      config);
}

}  // namespace tandem::launcher
