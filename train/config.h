// What a recipe says about training: the keys that every training stage shares, and those of its
// objective. Keys are named as in Hugging Face's and TRL's training arguments where they have a
// name for the thing.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/embedding/pooling.h"
#include "models/model.h"
#include "runtime/base/dtype.h"
#include "runtime/base/fields.h"
#include "runtime/nn/parameter.h"
#include "runtime/optim/loss_scaler.h"
#include "runtime/optim/schedule.h"

namespace tandem::train {

// Takes a key (dotted, relative to the struct) and why its value cannot be used; the recipe adds
// file and line.
using Complain = std::function<void(std::string_view key, const std::string& why)>;

enum class OptimizerKind { kAdamW, kAdamW8Bit };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double learning_rate = 3e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.0;
  double clip_grad_norm = 1.0;
  bool offload = false;
  runtime::DType gradient_reduce_dtype = runtime::DType::kF32;
  bool master_weights = true;
  bool stochastic_rounding = true;

  void visit_fields(runtime::FieldVisitor& v);
};
void check(const OptimizerConfig& config, const Complain& complain);
// `key` is that of master_weights.
void check_master_weights(const OptimizerConfig& config, std::string_view key,
                          runtime::Precision precision, const Complain& complain);

// Of training in fp16.
struct LossScaleConfig : runtime::LossScaleOptions {
  void visit_fields(runtime::FieldVisitor& v);
};
void check(const LossScaleConfig& config, const Complain& complain);

// Of training in fp8.
struct Fp8Config : runtime::Fp8Options {
  void visit_fields(runtime::FieldVisitor& v);
};
void check(const Fp8Config& config, const Complain& complain);

struct ScheduleConfig {
  runtime::ScheduleKind kind = runtime::ScheduleKind::kCosine;
  std::int64_t warmup_steps = 0;
  double min_lr_ratio = 0.0;

  void visit_fields(runtime::FieldVisitor& v);
};
void check(const ScheduleConfig& config, const Complain& complain);

// Texts that are generated while a stage trains, so that a person can see what it has learnt.
struct SamplesConfig {
  std::int64_t count = 4;
  std::int64_t max_new_tokens = 48;
  double temperature = 0.7;
  std::int64_t top_k = 0;
  double top_p = 1.0;

  void visit_fields(runtime::FieldVisitor& v);
};
void check(const SamplesConfig& config, const Complain& complain);

// What gives equal bits: the same run again, or also one with other numbers of copies and other
// micro-batches.
enum class Reproducible { kRun, kLayout };

struct TrainConfig {
  std::int64_t steps = 0;
  double epochs = 1.0;
  std::int64_t global_batch_size = 32;
  std::int64_t micro_batch_size = 0;
  std::int64_t sequence_length = 512;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  runtime::Precision precision = runtime::Precision::kBf16;
  LossScaleConfig loss_scale;
  Fp8Config fp8;
  models::ActivationMemory activations;
  Reproducible reproducible = Reproducible::kRun;
  std::int64_t log_every = 1;
  std::int64_t eval_every = 0;
  std::int64_t eval_samples = 0;
  std::int64_t save_every = 0;
  std::int64_t keep_checkpoints = 1;
  SamplesConfig samples;

  // Samples of one forward and backward; 0 where that is not resolved yet.
  std::int64_t micro_batch() const {
    return reproducible == Reproducible::kLayout ? 1 : micro_batch_size;
  }
  void visit_fields(runtime::FieldVisitor& v);
};
void check(const TrainConfig& config, const Complain& complain);

// Bradley–Terry reward model.
struct RewardConfig {
  bool use_margin = false;
  double center_rewards_coefficient = 0.0;

  void visit_fields(runtime::FieldVisitor& v);
};
void check(const RewardConfig& config, const Complain& complain);

struct DpoConfig {
  double beta = 0.1;
  double label_smoothing = 0.0;

  void visit_fields(runtime::FieldVisitor& v);
};
void check(const DpoConfig& config, const Complain& complain);

// A classifier, or a model that gives numbers for texts.
struct ClassificationConfig {
  models::ProblemType problem_type = models::ProblemType::kSingleLabel;
  std::vector<std::string> labels;
  std::int64_t num_labels = 0;

  // None where the recipe gives none; regression has one by default.
  models::Labels given_labels() const;
  void visit_fields(runtime::FieldVisitor& v);
};
void check(const ClassificationConfig& config, const Complain& complain);

enum class Similarity { kCosine, kDot };
// kAuto: the model's own, or the mean. The others are models::Pooling's.
enum class PoolingChoice { kAuto, kMean, kCls, kLastToken, kMax };

// Embeddings by contrast.
struct ContrastiveConfig {
  double scale = 20.0;
  Similarity similarity = Similarity::kCosine;
  PoolingChoice pooling = PoolingChoice::kAuto;
  bool normalize = true;

  models::Pooling pooling_for(models::Pooling own) const;
  void visit_fields(runtime::FieldVisitor& v);
};
void check(const ContrastiveConfig& config, const Complain& complain);

// The keys of what is kept for backward.
void visit_activations(runtime::FieldVisitor& v, models::ActivationMemory& activations);

// The key `precision`, for structs that do not hold a TrainConfig.
void visit_precision(runtime::FieldVisitor& v, runtime::Precision& precision);
// Its names, in the order of runtime::Precision.
inline constexpr std::array<std::string_view, 4> kPrecisions{"fp32", "bf16", "fp16", "fp8"};
inline std::string_view name_of(runtime::Precision precision) {
  return kPrecisions.at(static_cast<std::size_t>(precision));
}
// What is wrong with the keys of a section, under their full names.
Complain within(const char* section, const Complain& complain);

// Building blocks of check().
void require_positive(double value, std::string_view key, const Complain& complain);
void require_not_negative(double value, std::string_view key, const Complain& complain);
// Within [low, high].
void require_within(double value, double low, double high, std::string_view key,
                    const Complain& complain);

}  // namespace tandem::train
