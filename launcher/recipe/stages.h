// The kinds of stage that a recipe lists, each a plain struct: what it starts from, what it reads,
// how it trains, and the layout it runs in. The structs of data/, train/, rl/ and parallel/ are
// composed here, never repeated.
//
// Keys that end in `from` name an earlier stage of the recipe or a directory (a stage's folder of
// another run, a checkpoint, or a Hugging Face model). After reading, they are filled in: "" then
// means the recipe's `model`, or none where that is allowed.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "data/config.h"
#include "data/datasets/sft.h"
#include "data/noise/noise.h"
#include "data/tokenizer/config.h"
#include "models/model.h"
#include "parallel/mesh/mesh.h"
#include "rl/config.h"
#include "runtime/base/dtype.h"
#include "runtime/base/fields.h"
#include "train/config.h"

namespace tandem::launcher {

// Trains a tokenizer. Runs on one rank.
struct TokenizerStage {
  data::DataConfig data;
  data::TokenizerConfig tokenizer;

  void visit_fields(runtime::FieldVisitor& v);
};

// What of a model is trained: all of it, or an adapter beside it; the model, which then stays as it
// is, may be held in 8 or 4 bits.
struct FineTuning {
  models::LoraConfig lora;
  runtime::QuantFormat quantize = runtime::QuantFormat::kNone;

  void visit_fields(runtime::FieldVisitor& v);
};

// What the stages have in common that train one model on a data set.
struct TrainingStage {
  std::string from;
  data::BlendConfig data;
  data::DataConfig
      validation;  // path empty: none, but data.validation_fraction may hold records out
  train::TrainConfig train;
  FineTuning tuning;         // not a key of pretraining
  bool cuda_graphs = false;  // a key of pretraining and SFT
  parallel::LayoutConfig layout;

  void visit_fields(runtime::FieldVisitor& v);
};

// Whether models of this kind can be trained on it.
bool suits(models::TextObjective objective, models::ModelKind kind);
// "span_corruption": as a recipe writes it.
std::string_view name_of(models::TextObjective objective);

// kAuto: what the model's family was published with. The others are models::TextObjective's.
enum class PretrainObjective { kAuto, kCausal, kMasked, kSpanCorruption, kInfilling };

struct PretrainStage : TrainingStage {
  PretrainObjective objective = PretrainObjective::kAuto;
  data::NoiseConfig noise;

  // What a model is trained on whose family has this objective.
  models::TextObjective objective_for(models::TextObjective family) const;
  void visit_fields(runtime::FieldVisitor& v);
};

struct SftStage : TrainingStage {
  data::SftMasks masks;

  void visit_fields(runtime::FieldVisitor& v);
};

struct RewardStage : TrainingStage {
  train::RewardConfig reward;

  void visit_fields(runtime::FieldVisitor& v);
};

// A classifier, or a model that gives numbers for texts.
struct ClassifyStage : TrainingStage {
  train::ClassificationConfig classification;

  void visit_fields(runtime::FieldVisitor& v);
};

// An embedding model, from texts that belong together.
struct ContrastiveStage : TrainingStage {
  train::ContrastiveConfig contrastive;

  void visit_fields(runtime::FieldVisitor& v);
};

struct DpoStage : TrainingStage {
  std::string reference_from;
  train::DpoConfig dpo;

  // With an adapter, the policy without it is the reference, unless that is another model.
  bool policy_is_reference() const { return tuning.lora.enabled() && reference_from == from; }

  void visit_fields(runtime::FieldVisitor& v);
};

// The ranks of one role and how its model is laid out on them.
struct RolePlacement {
  std::int64_t ranks = 0;  // 0 in a recipe: as many as the layout needs
  parallel::LayoutConfig layout;
  runtime::Precision precision = runtime::Precision::kBf16;
  runtime::QuantFormat quantize = runtime::QuantFormat::kNone;  // of frozen roles

  void visit_fields(runtime::FieldVisitor& v);
};

// Which ranks do what. Shared: every rank of the policy also holds its shard of the other three
// models, in the policy's layout, and calls them directly. Else policy from rank 0, then critic,
// reference, reward, each on ranks of its own and called over its service.
struct Placement {
  bool shared = true;
  RolePlacement policy, critic, reference, reward;

  std::int64_t ranks() const {
    return shared ? policy.ranks : policy.ranks + critic.ranks + reference.ranks + reward.ranks;
  }
  void visit_fields(runtime::FieldVisitor& v);
};

// Where the roles' services listen and how long one waits for them.
struct ServiceConfig {
  std::string host = "127.0.0.1";
  std::int64_t port = 0;
  double timeout = 300.0;

  void visit_fields(runtime::FieldVisitor& v);
};

struct PpoStage {
  std::string from;
  std::string reference_from;
  std::string critic_from;
  std::string reward_from;
  data::DataConfig prompts;
  data::DataConfig validation;
  rl::PpoConfig ppo;
  FineTuning tuning;  // of the policy
  Placement placement;
  ServiceConfig services;

  // As in DPO, where both are on the same ranks.
  bool policy_is_reference() const {
    return placement.shared && tuning.lora.enabled() && reference_from == from;
  }

  void visit_fields(runtime::FieldVisitor& v);
};

// Samples several responses to each prompt, keeps those that the reward model likes best, and
// fine-tunes on them.
struct RejectionSamplingStage {
  std::string from;
  std::string reward_from;
  data::DataConfig prompts;
  std::int64_t num_samples = 4;
  std::int64_t keep = 1;
  rl::SamplingConfig sampling;
  train::TrainConfig train;
  parallel::LayoutConfig layout;

  void visit_fields(runtime::FieldVisitor& v);
};

// The summary at the end: what a model answers to held-out prompts, before and after.
struct EvaluateStage {
  std::string from;
  std::string baseline_from;
  std::string reward_from;
  data::DataConfig prompts;
  std::string lexicon;
  std::int64_t num_samples = 1;
  std::int64_t shown = 4;
  rl::SamplingConfig sampling;
  runtime::Precision precision = runtime::Precision::kBf16;
  parallel::LayoutConfig layout;

  void visit_fields(runtime::FieldVisitor& v);
};

// In the order of StageConfig's alternatives.
enum class StageKind {
  kTokenizer,
  kPretrain,
  kSft,
  kReward,
  kDpo,
  kPpo,
  kRejectionSampling,
  kEvaluate,
  kClassify,
  kContrastive
};
using StageConfig =
    std::variant<TokenizerStage, PretrainStage, SftStage, RewardStage, DpoStage, PpoStage,
                 RejectionSamplingStage, EvaluateStage, ClassifyStage, ContrastiveStage>;

// Whether a stage does nothing but train one model on records of a data set: its replicas work in
// step, its model may be a pipeline, and ranks may divide its sequences.
bool trains_in_step(StageKind kind);
// "rejection_sampling": the key in a recipe.
std::string_view name_of(StageKind kind);
// One sentence for the documentation.
std::string_view summary_of(StageKind kind);
std::span<const StageKind> all_stage_kinds();
// With all keys at their defaults.
StageConfig make_stage(StageKind kind);

struct Stage {
  std::string name;  // unique in the recipe; also the folder below run_dir
  StageConfig config;

  StageKind kind() const { return static_cast<StageKind>(config.index()); }
  // Its `from`; "" for stages that start from no model.
  std::string from() const;
  // Ends in a language model that a later stage can start from.
  bool makes_language_model() const;
  // Ranks that the stage needs.
  std::int64_t ranks() const;
};

}  // namespace tandem::launcher
