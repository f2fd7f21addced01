#include "train/config.h"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::train {

using runtime::FieldVisitor;

void OptimizerConfig::visit_fields(FieldVisitor& v) {
  v.choice({"kind", "adamw_8bit holds its two moments in 8 bits each instead of 32"}, kind,
           {"adamw", "adamw_8bit"});
  v.field({"learning_rate", "peak learning rate of AdamW"}, learning_rate);
  v.field({"beta1", "decay of the mean of gradients"}, beta1);
  v.field({"beta2", "decay of the mean of squared gradients"}, beta2);
  v.field({"eps", "added to the root of the mean of squared gradients"}, eps);
  v.field({"weight_decay", "decoupled weight decay of matrices; norms and biases have none"},
          weight_decay);
  v.field({"clip_grad_norm", "largest norm of the whole gradient, over all ranks; 0 does not clip"},
          clip_grad_norm);
  v.field({"offload",
           "the moments lie in the host's memory and come to the GPU piece by piece; nothing to do "
           "on a CPU"},
          offload);
  v.choice({"gradient_reduce_dtype",
            "numbers in which gradients travel between copies of the model; bf16 halves the bytes "
            "and rounds each copy's gradient and the sum, which is taken in fp32"},
           gradient_reduce_dtype, {"fp32", "bf16"});
  v.field({"master_weights",
           "false keeps weights in bf16 alone, without fp32 values that the optimizer updates: 4 "
           "bytes a weight less; norms and biases stay fp32"},
          master_weights);
  v.field({"stochastic_rounding",
           "without master_weights: updated weights are rounded up or down at random, right on "
           "average; false rounds to the nearest, which loses small updates"},
          stochastic_rounding);
}

void LossScaleConfig::visit_fields(FieldVisitor& v) {
  v.field({"initial", "what losses are multiplied by at first"}, initial);
  v.field({"growth_interval", "updates in a row without overflow before the scale grows", "steps"},
          growth_interval);
  v.field({"growth_factor", "by how much it grows then"}, growth_factor);
  v.field({"backoff_factor", "what an overflow multiplies the scale by"}, backoff_factor);
}

void Fp8Config::visit_fields(FieldVisitor& v) {
  v.choice({"scaling",
            "what puts a matrix into the range of 8 bits: delayed, the largest magnitudes of the "
            "last updates; current, its own, for one more pass over it"},
           scaling, {"delayed", "current"});
  v.field({"amax_history_len", "updates that delayed scaling looks back on", "updates"},
          amax_history_len);
  v.field({"margin", "powers of 2 that delayed scaling leaves above what it saw"}, margin);
}

void ScheduleConfig::visit_fields(FieldVisitor& v) {
  v.choice({"kind", "shape of the learning rate after warm-up"}, kind,
           {"constant", "linear", "cosine"});
  v.field({"warmup_steps", "the learning rate rises linearly from 0 over these", "steps"},
          warmup_steps);
  v.field({"min_lr_ratio", "share of the peak that is left at the last step"}, min_lr_ratio);
}

void SamplesConfig::visit_fields(FieldVisitor& v) {
  v.field({"count", "texts generated at each evaluation; 0 generates none", "texts"}, count);
  v.field({"max_new_tokens",
           "longest text; a prompt that leaves no room for it loses its beginning", "tokens"},
          max_new_tokens);
  v.field({"temperature", "divides the logits; 0 always takes the likeliest token"}, temperature);
  v.field({"top_k", "samples among the likeliest k tokens; 0 among all", "tokens"}, top_k);
  v.field({"top_p", "samples among the likeliest tokens that together have this probability"},
          top_p);
}

void TrainConfig::visit_fields(FieldVisitor& v) {
  v.field({"steps", "optimizer steps; 0 trains for `epochs`", "steps"}, steps);
  v.field({"epochs", "passes over the data, when `steps` is 0", "epochs"}, epochs);
  v.field({"global_batch_size", "samples per optimizer step, over all ranks", "sequences"},
          global_batch_size);
  v.field({"micro_batch_size",
           "samples per forward pass of one rank; the rest of its share is accumulated; 0 takes "
           "the whole share",
           "sequences"},
          micro_batch_size);
  v.field({"sequence_length", "longest sequence; longer ones are cut", "tokens"}, sequence_length);
  v.nested({"optimizer", "AdamW"}, optimizer);
  v.nested({"schedule", "the learning rate over the steps"}, schedule);
  visit_precision(v, precision);
  v.nested({"loss_scale", "with precision: fp16, so that small gradients survive"}, loss_scale);
  v.nested({"fp8", "with precision: fp8, how numbers are scaled into 8 bits"}, fp8);
  visit_activations(v, activations);
  v.choice({"reproducible",
            "what gives equal bits: run, the same run started again; layout, also one with another "
            "data_parallel or micro_batch_size, for which samples are differentiated one by one"},
           reproducible, {"run", "layout"});
  v.field({"log_every", "between two lines of metrics.jsonl", "steps"}, log_every);
  v.field(
      {"eval_every", "between evaluations on held-out data; 0 evaluates at the end only", "steps"},
      eval_every);
  v.field({"eval_samples", "held-out samples per evaluation; 0 takes all", "samples"},
          eval_samples);
  v.field(
      {"save_every", "between checkpoints; 0 saves at the end and when interrupted only", "steps"},
      save_every);
  v.field({"keep_checkpoints", "latest checkpoints that stay on disk", "checkpoints"},
          keep_checkpoints);
  v.nested({"samples", "texts generated at each evaluation"}, samples);
}

void RewardConfig::visit_fields(FieldVisitor& v) {
  v.field({"use_margin", "demand that the chosen answer wins by the margin that the data gives"},
          use_margin);
  v.field({"center_rewards_coefficient",
           "weight of the penalty that keeps scores around 0; 0 has none"},
          center_rewards_coefficient);
}

void DpoConfig::visit_fields(FieldVisitor& v) {
  v.field({"beta", "how strongly the policy is held to the reference"}, beta);
  v.field({"label_smoothing", "assumed share of preferences that are the wrong way round"},
          label_smoothing);
}

models::Labels ClassificationConfig::given_labels() const {
  models::Labels given{labels, problem_type};
  if (!given.names.empty()) return given;
  const bool one = num_labels == 0 && problem_type == models::ProblemType::kRegression;
  given.names = models::numbered_labels(one ? 1 : num_labels);
  return given;
}

void ClassificationConfig::visit_fields(FieldVisitor& v) {
  v.choice({"problem_type",
            "whether a text has one of the labels, any number of them, or a number for each"},
           problem_type,
           {"single_label_classification", "multi_label_classification", "regression"});
  v.field(
      {"labels",
       "names of the labels, in the order of their numbers; default: those of a classifier that "
       "`from` names"},
      labels);
  v.field({"num_labels", "instead of `labels`: so many, named LABEL_0, LABEL_1, …", "labels"},
          num_labels);
}

models::Pooling ContrastiveConfig::pooling_for(models::Pooling own) const {
  if (pooling == PoolingChoice::kAuto) return own;
  return static_cast<models::Pooling>(static_cast<int>(pooling) - 1);
}

void ContrastiveConfig::visit_fields(FieldVisitor& v) {
  v.field({"scale",
           "multiplies similarities before the softmax: 1 / temperature; with `dot`, 1 is usual"},
          scale);
  v.choice({"similarity", "of two embeddings"}, similarity, {"cosine", "dot"});
  v.choice({"pooling",
            "how an embedding is made of a text's tokens: their mean, the first (cls) or last one "
            "(lasttoken, for decoders), the largest of each column; auto: as the model's own "
            "modules.json says, else mean"},
           pooling, {"auto", "mean", "cls", "lasttoken", "max"});
  v.field({"normalize", "the model gives embeddings of length 1"}, normalize);
}

void visit_activations(FieldVisitor& v, models::ActivationMemory& activations) {
  v.choice({"recompute",
            "activations that backward computes again instead of keeping them: selective, those of "
            "norms and activation functions; full, all within a block"},
           activations.recompute, {"none", "selective", "full"});
  v.field({"offload_activations",
           "what is kept for backward goes from the GPU to the host's memory and comes back; "
           "nothing to do on a CPU"},
          activations.offload);
}

void visit_precision(FieldVisitor& v, runtime::Precision& precision) {
  v.choice(
      {"precision",
       "numbers of forward and backward; the optimizer updates fp32 weights beside them, from fp32 "
       "gradients; fp8: bf16, but the products of the blocks' linear layers take 8 bits; default: "
       "the recipe's"},
      precision, kPrecisions);
}

Complain within(const char* section, const Complain& complain) {
  return [&complain, section](std::string_view key, const std::string& why) {
    complain(fmt::format("{}.{}", section, key), why);
  };
}

void check(const OptimizerConfig& c, const Complain& complain) {
  require_positive(c.learning_rate, "learning_rate", complain);
  require_positive(c.eps, "eps", complain);
  if (c.beta1 < 0 || c.beta1 >= 1)
    complain("beta1", fmt::format("must be in [0, 1), got {}", c.beta1));
  if (c.beta2 < 0 || c.beta2 >= 1)
    complain("beta2", fmt::format("must be in [0, 1), got {}", c.beta2));
  require_not_negative(c.weight_decay, "weight_decay", complain);
  require_not_negative(c.clip_grad_norm, "clip_grad_norm", complain);
}

void check_master_weights(const OptimizerConfig& c, std::string_view key,
                          runtime::Precision precision, const Complain& complain) {
  if (!c.master_weights && precision != runtime::Precision::kBf16)
    complain(key,
             fmt::format("false leaves weights in bf16 alone, and needs precision: bf16 (it is "
                         "{})",
                         name_of(precision)));
}

void check(const LossScaleConfig& c, const Complain& complain) {
  require_positive(c.initial, "initial", complain);
  require_positive(static_cast<double>(c.growth_interval), "growth_interval", complain);
  if (c.growth_factor < 1)
    complain("growth_factor", fmt::format("must be at least 1, got {}", c.growth_factor));
  if (c.backoff_factor <= 0 || c.backoff_factor >= 1)
    complain("backoff_factor", fmt::format("must be in (0, 1), got {}", c.backoff_factor));
}

void check(const Fp8Config& c, const Complain& complain) {
  require_positive(static_cast<double>(c.amax_history_len), "amax_history_len", complain);
  require_within(static_cast<double>(c.margin), 0, 32, "margin", complain);
}

void check(const ScheduleConfig& c, const Complain& complain) {
  require_not_negative(static_cast<double>(c.warmup_steps), "warmup_steps", complain);
  require_within(c.min_lr_ratio, 0, 1, "min_lr_ratio", complain);
}

void check(const SamplesConfig& c, const Complain& complain) {
  require_not_negative(static_cast<double>(c.count), "count", complain);
  require_positive(static_cast<double>(c.max_new_tokens), "max_new_tokens", complain);
  require_not_negative(c.temperature, "temperature", complain);
  require_not_negative(static_cast<double>(c.top_k), "top_k", complain);
  if (c.top_p <= 0 || c.top_p > 1)
    complain("top_p", fmt::format("must be in (0, 1], got {}", c.top_p));
}

void check(const TrainConfig& c, const Complain& complain) {
  require_not_negative(static_cast<double>(c.steps), "steps", complain);
  if (c.steps == 0) require_positive(c.epochs, "epochs", complain);
  require_positive(static_cast<double>(c.global_batch_size), "global_batch_size", complain);
  require_not_negative(static_cast<double>(c.micro_batch_size), "micro_batch_size", complain);
  if (c.sequence_length < 2)
    complain("sequence_length", fmt::format("must be at least 2, got {}", c.sequence_length));
  check(c.optimizer, within("optimizer", complain));
  check_master_weights(c.optimizer, "optimizer.master_weights", c.precision, complain);
  check(c.schedule, within("schedule", complain));
  check(c.loss_scale, within("loss_scale", complain));
  check(c.fp8, within("fp8", complain));
  if (c.steps > 0 && c.schedule.warmup_steps > c.steps)
    complain("schedule.warmup_steps",
             fmt::format("{} is more than the stage's {} steps", c.schedule.warmup_steps, c.steps));
  require_positive(static_cast<double>(c.log_every), "log_every", complain);
  require_not_negative(static_cast<double>(c.eval_every), "eval_every", complain);
  require_not_negative(static_cast<double>(c.eval_samples), "eval_samples", complain);
  require_not_negative(static_cast<double>(c.save_every), "save_every", complain);
  require_positive(static_cast<double>(c.keep_checkpoints), "keep_checkpoints", complain);
  check(c.samples, within("samples", complain));
}

void check(const RewardConfig& c, const Complain& complain) {
  require_not_negative(c.center_rewards_coefficient, "center_rewards_coefficient", complain);
}

void check(const DpoConfig& c, const Complain& complain) {
  require_positive(c.beta, "beta", complain);
  if (c.label_smoothing < 0 || c.label_smoothing >= 0.5)
    complain("label_smoothing", fmt::format("must be in [0, 0.5), got {}", c.label_smoothing));
}

void check(const ClassificationConfig& c, const Complain& complain) {
  require_not_negative(static_cast<double>(c.num_labels), "num_labels", complain);
  const auto count = static_cast<std::int64_t>(c.labels.size());
  if (count > 0 && c.num_labels > 0 && c.num_labels != count)
    complain("num_labels",
             fmt::format("is {}, but {} 'labels' are named; leave it out", c.num_labels, count));
  std::vector<std::string> sorted = c.labels;
  std::ranges::sort(sorted);
  if (const auto twice = std::ranges::adjacent_find(sorted); twice != sorted.end())
    complain("labels", fmt::format("names '{}' twice", *twice));
  if (c.problem_type == models::ProblemType::kSingleLabel && c.given_labels().count() == 1)
    complain("labels",
             "has one label, which every text would have; name at least two, or set "
             "problem_type: regression");
}

void check(const ContrastiveConfig& c, const Complain& complain) {
  require_positive(c.scale, "scale", complain);
}

void require_positive(double value, std::string_view key, const Complain& complain) {
  if (!(value > 0)) complain(key, fmt::format("must be positive, got {}", value));
}

void require_not_negative(double value, std::string_view key, const Complain& complain) {
  if (!(value >= 0)) complain(key, fmt::format("must not be negative, got {}", value));
}

void require_within(double value, double low, double high, std::string_view key,
                    const Complain& complain) {
  if (!(value >= low && value <= high))
    complain(key, fmt::format("must be in [{}, {}], got {}", low, high, value));
}

}  // namespace tandem::train
