// Small models and data that every layout test trains in the same way.
#pragma once

#include <cmath>
#include <filesystem>
#include <memory>
#include <vector>

#include "data/context_part.h"
#include "models/llama/llama.h"
#include "models/t5/t5.h"
#include "runtime/base/random.h"
#include "train/checkpoint.h"
#include "train/engine.h"
#include "train/objectives.h"
#include "train/recorded_loss.h"

namespace tandem::test {

inline models::LlamaConfig tiny_config() {
  models::LlamaConfig config;
  config.vocab_size = 101;  // divides by nothing: padded under tensor parallelism
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 4;
  config.max_position_embeddings = 64;
  config.initializer_range = 0.1;
  return config;
}

// Sequence `index` of an endless corpus: its length and tokens follow from the index alone.
inline std::vector<std::int32_t> tiny_sequence(std::int64_t index, std::int64_t vocab) {
  const runtime::Philox random(99, "tiny corpus", static_cast<std::uint64_t>(index));
  const auto length = 5 + random.below(40, 0);
  std::vector<std::int32_t> tokens;
  for (std::uint64_t i = 0; i < length; ++i)
    tokens.push_back(static_cast<std::int32_t>((random.below(7, i + 1) * 13 + i * 3) %
                                               static_cast<std::uint64_t>(vocab)));
  return tokens;
}

// The same sizes for another family; an encoder-decoder has `layers` on each side.
inline models::AnyConfig tiny_config_of(const std::string& family, std::int64_t layers) {
  models::AnyConfig config(family);
  const models::LlamaConfig sizes = tiny_config();
  if (auto* llama = dynamic_cast<models::LlamaConfig*>(&*config)) *llama = sizes;
  config->vocab_size = sizes.vocab_size;
  config->hidden_size = sizes.hidden_size;
  config->intermediate_size = sizes.intermediate_size;
  config->num_attention_heads = sizes.num_attention_heads;
  config->num_hidden_layers = layers;
  if (auto* t5 = dynamic_cast<models::T5Config*>(&*config)) {
    t5->num_decoder_layers = layers;
    t5->head_dim = 8;
    t5->initializer_range = 0.5;
  } else {
    config->max_position_embeddings = sizes.max_position_embeddings;
    config->initializer_range = sizes.initializer_range;
  }
  return config;
}

inline models::AnyConfig tiny_config_of(models::ModelKind kind, std::int64_t layers) {
  return tiny_config_of(kind == models::ModelKind::kEncoder          ? "bert"
                        : kind == models::ModelKind::kEncoderDecoder ? "t5"
                                                                     : "llama",
                        layers);
}

// A decoder predicts each next token, an encoder every fifth one, which it sees as 0; an
// encoder-decoder reads a sequence and writes its second half.
inline void add_tiny_exercise(models::ModelKind kind, std::int64_t index, std::int64_t vocab,
                              data::BatchBuilder& builder) {
  const std::vector<std::int32_t> tokens = tiny_sequence(index, vocab);
  if (kind == models::ModelKind::kDecoder) return builder.add_completion(tokens, 0, index);
  if (kind == models::ModelKind::kEncoderDecoder)
    return builder.add_pair(tokens, std::span(tokens).subspan(tokens.size() / 2), 0, index);
  std::vector<std::int32_t> hidden = tokens, targets(tokens.size(), data::kNoToken);
  std::vector<float> weights(tokens.size(), 0.0f);
  for (std::size_t i = static_cast<std::size_t>(index % 5); i < tokens.size(); i += 5) {
    targets[i] = tokens[i];
    weights[i] = 1.0f;
    hidden[i] = 0;
  }
  builder.add_sequence(hidden, targets, weights, index);
}

struct TrainingCase {
  models::ModelKind kind = models::ModelKind::kDecoder;
  std::int64_t steps = 20;
  std::int64_t global_batch_size = 16;
  std::int64_t micro_batch_size = 4;
  models::Recompute recompute = models::Recompute::kNone;
  runtime::DType compute = runtime::DType::kF32;
  bool offload = false;  // activations and optimizer
  bool eight_bit = false;
  bool master_weights = true;
  std::optional<runtime::Fp8Options> fp8 = {};
  train::EngineOptions engine = {};
  std::int64_t layers = 2;
  runtime::Device device = {};
  bool recorded = false;               // steps, on a device that replays them
  std::filesystem::path save_to = {};  // where the last step's weights go; empty: nowhere
};

struct TrainingTrace {
  std::vector<double> losses;
  std::vector<double> grad_norms;
  std::int64_t resident_bytes = 0;  // of parameters, gradients and optimizer, after the last step
  std::int64_t peak_bytes = 0;      // of all tensors, at any time, from before the model was built
  std::string state;                // what the engine registers of itself
  std::vector<bool> skipped;        // whether each step's gradient overflowed in fp16
};

inline models::BuildOptions tiny_options(const parallel::Mesh& mesh, const TrainingCase& setup) {
  models::BuildOptions options;
  options.lay_over(mesh);
  options.device = setup.device;
  options.activations = {setup.recompute, setup.offload};
  options.precision = {setup.compute, setup.master_weights, setup.fp8};
  return options;
}

inline TrainingTrace train_tiny(const parallel::Mesh& mesh, const TrainingCase& setup) {
  const models::AnyConfig config = tiny_config_of(setup.kind, setup.layers);
  const auto allocated = [&] {
    return runtime::allocator_of(setup.device).stats().allocated_bytes;
  };
  const std::int64_t before = allocated();
  runtime::allocator_of(setup.device).reset_peak();
  auto model = config->make(tiny_options(mesh, setup));
  model->parameters().initialize(5);
  train::Engine engine(std::move(model), mesh,
                       {.beta1 = 0.9,
                        .beta2 = 0.95,
                        .weight_decay = 0.1,
                        .eight_bit = setup.eight_bit,
                        .offload = setup.offload,
                        .piece = 2048},
                       setup.engine);
  const std::int64_t own = setup.global_batch_size / mesh.dp.size();
  TrainingTrace trace;
  train::RecordedLoss loss_of(setup.recorded);
  for (std::int64_t step = 0; step < setup.steps; ++step) {
    std::vector<data::Batch> batches;
    double weight = 0;
    for (std::int64_t begin = 0; begin < own; begin += setup.micro_batch_size) {
      data::BatchBuilder builder;
      for (std::int64_t i = begin; i < begin + setup.micro_batch_size; ++i) {
        const std::int64_t index = step * setup.global_batch_size + mesh.dp.rank() * own + i;
        add_tiny_exercise(setup.kind, index, config->vocab_size, builder);
      }
      batches.push_back(data::context_part(builder.take(), mesh.cp.rank(), mesh.cp.size()));
      weight += train::target_weight(batches.back());
    }
    weight = mesh.replicas.all_reduce_scalar(weight, parallel::ReduceOp::kSum, "weight");
    double loss = 0;
    const auto stats = engine.step(
        static_cast<std::int64_t>(batches.size()),
        [&](std::int64_t i) {
          loss += loss_of(engine.model(), batches[static_cast<std::size_t>(i)], weight);
        },
        3e-3, 1.0);
    loss = mesh.replicas.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss");
    trace.losses.push_back(mesh.pp.all_reduce_scalar(loss, parallel::ReduceOp::kSum, "loss"));
    trace.grad_norms.push_back(stats.grad_norm);
    trace.skipped.push_back(stats.skipped);
  }
  trace.resident_bytes = allocated() - before;
  trace.peak_bytes = runtime::allocator_of(setup.device).stats().peak_allocated_bytes - before;
  train::StateRegistry registry;
  engine.register_state(registry);
  trace.state = registry.save();
  if (!setup.save_to.empty())
    train::save_model_directory(engine.model(), mesh, nullptr, setup.save_to, runtime::DType::kF32);
  return trace;
}

// Largest relative difference between two curves.
inline double worst_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = a.size() == b.size() ? 0.0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return worst;
}

}  // namespace tandem::test
