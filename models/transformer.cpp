#include "models/transformer.h"

#include <algorithm>
#include <cmath>

#include "models/filled_up.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/base/error.h"

namespace tandem::models {

using parallel::Init;
using parallel::ShardSpec;
using runtime::Leaf;
using runtime::Tensor;

runtime::PackedHeads divided_heads(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim,
                                   const parallel::Group& tp) {
  return {heads / tp.size(), kv_heads / tp.size(), head_dim};
}

void refuse_scalar_head(const FamilyConfig& config, const BuildOptions& options) {
  if (options.head == Head::kScalar)
    runtime::throw_error(
        "a {} model cannot be a reward or value model; start those from a decoder such as llama",
        config.model_type());
}

void refuse_text_heads(const FamilyConfig& config, const BuildOptions& options) {
  if (options.head == Head::kClassification || options.head == Head::kHiddenStates)
    runtime::throw_error(
        "a {} model gives no {}; use an encoder such as bert, or a decoder such as llama",
        config.model_type(),
        options.head == Head::kClassification ? "scores of labels" : "embeddings");
}

namespace {

std::unique_ptr<parallel::Pipeline> make_pipeline(const BuildOptions& options) {
  if (options.pp.size() == 1) return nullptr;
  return std::make_unique<parallel::Pipeline>(options.pp, options.pp_gradients,
                                              options.pipeline_schedule, options.virtual_stages);
}

std::unique_ptr<Adapter> make_adapter(const BuildOptions& options) {
  if (!options.lora.enabled()) return nullptr;
  return std::make_unique<Adapter>(options.lora, options.adapter_store_options());
}

bool decodes(const CacheUse* cache) {
  return cache != nullptr && cache->decode;
}

}  // namespace

Transformer::Transformer(const FamilyConfig& config, const BuildOptions& options,
                         const runtime::PackedHeads& heads, std::string base,
                         std::vector<std::int64_t> blocks)
    : config_(config.clone()),
      options_(options),
      heads_(heads),
      base_(std::move(base)),
      blocks_(std::move(blocks)),
      pipeline_(make_pipeline(options)),
      store_(options.store_options()),
      unit_values_(store_),
      adapter_(make_adapter(options)),
      stacks_(make_stacks()),
      vocabulary_(config.vocab_size, options.tp) {
  if (options.labels.count() > 0) config_->labels = options.labels;
  // What transformers takes, and does not write.
  if (config_->labels.count() == 0) config_->labels.names = numbered_labels(2);
  const std::int64_t parts = pipeline_ == nullptr ? 1 : pipeline_->shape().parts();
  if (block_count() < parts)
    runtime::throw_error("a pipeline of {} parts needs as many blocks, but the model has {}", parts,
                         block_count());
}

// ---- where weights are

std::vector<Stack> Transformer::make_stacks() {
  std::vector<Stack> stacks(blocks_.size());
  for (StackId stack = 0; stack < stacks.size(); ++stack) {
    stacks[stack].activations = options_.activations;
    stacks[stack].weights = &unit_values_;
    stacks[stack].first_unit = static_cast<int>(start_of(stack));
  }
  return stacks;
}

Transformer::Range Transformer::blocks_of_part(int part) const {
  const auto [begin, end] =
      parallel::blocks_of_part(block_count(), pipeline_->shape().parts(), part);
  return {begin, end};
}

int Transformer::stage_of(std::int64_t block) const {
  int part = 0;
  while (blocks_of_part(part).end <= block) ++part;
  return part % pipeline_->shape().stages;
}

Weights Transformer::weights_used_by(const std::vector<std::int64_t>& blocks) {
  std::vector<int> holders;
  if (pipeline_ != nullptr) {
    for (const std::int64_t block : blocks) holders.push_back(stage_of(block));
    std::ranges::sort(holders);
    const auto repeated = std::ranges::unique(holders);
    holders.erase(repeated.begin(), repeated.end());
  }
  return Weights(store_, config_->initializer_range, std::move(holders), adapter_.get())
      .with_partial_use(options_.sequence_parallel);
}

Weights Transformer::block_weights(StackId stack, std::int64_t block) {
  const std::int64_t index = start_of(stack) + block;
  return weights_used_by({index}).with_unit(static_cast<int>(index));
}

Weights Transformer::stack_weights(StackId stack) {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < blocks_[stack]; ++i) all.push_back(start_of(stack) + i);
  return weights_used_by(all);
}

void Transformer::declare_embedding(const std::string& name) {
  std::vector<std::int64_t> users;
  for (StackId stack = 0; stack < blocks_.size(); ++stack) users.push_back(start_of(stack));
  const bool tied = options_.head == Head::kLanguageModel && config_->tie_word_embeddings;
  if (tied) users.push_back(block_count() - 1);
  const Weights weights = weights_used_by(users);
  embedding_ = weights.add("embedding", vocabulary_.matrix(name, config_->hidden_size),
                           weights.matrix_options());
}

void Transformer::declare_head(const std::string& matrix_name) {
  const std::int64_t width = config_->hidden_size;
  if (options_.head == Head::kScalar) {
    const float std = options_.scalar_head_std != kRewardHeadStd
                          ? options_.scalar_head_std
                          : 1.0f / std::sqrt(static_cast<float>(width + 1));
    // Files of an adapter have it beside the adapter: a head is trained whatever stands below it.
    if (adapter_ != nullptr) adapter_->add_whole_module("score");
    const Weights weights = last_weights(last_stack());
    score_ = (adapter_ == nullptr ? weights : weights.in(adapter_->store()))
                 .add("score", ShardSpec{.pieces = {{"score.weight", {1, width}}}},
                      {.init = Init::normal(std)});
    return;
  }
  if (options_.head == Head::kHiddenStates) return;
  if (options_.head == Head::kClassification) {
    score_ = last_weights(last_stack())
                 .with_partial_use(false)
                 .replicated("score", config_->labels.count(), width, false)
                 .weight;
    return;
  }
  const Weights weights = last_weights(last_stack());
  output_ = config_->tie_word_embeddings
                ? embedding_
                : weights.add("lm_head", vocabulary_.matrix(matrix_name, width),
                              weights.matrix_options());
}

void Transformer::allocate() {
  store_.allocate();
  if (adapter_ != nullptr) adapter_->allocate();
}

// ---- forward

Tensor Transformer::forward(const ModelInput& input, const CacheUse* cache) {
  const Reading reading = reading_of(input, cache);
  const Tensor hidden = run(reading);
  return hidden.defined() ? parallel::gather_tokens(hidden, input.tokens.dim(0), reading.tp)
                          : hidden;
}

Transformer::Reading Transformer::reading_of(const ModelInput& input, const CacheUse* cache) const {
  // A cache is filled and read by plain tensor parallelism: decoding works on single tokens.
  Reading reading{.input = {},
                  .cache = cache,
                  .tp = {options_.tp, options_.sequence_parallel && cache == nullptr}};
  const std::int64_t multiple = reading.tp.divides_tokens() ? options_.tp.size() : 1;
  reading.input = input;
  if (input.whole_cu_seqlens.empty())
    reading.input = filled_up(input, multiple);
  else
    divide_context(reading, multiple);
  if (adapter_ != nullptr) {
    reading.draws = adapter_->draws_for(reading.input.token_numbers);
    reading.encoder_draws = adapter_->draws_for(reading.input.encoder.token_numbers);
  }
  return reading;
}

void Transformer::divide_context(Reading& reading, std::int64_t multiple) const {
  ModelInput& input = reading.input;
  const auto rows = [&](const TextInput& text) {
    return parallel::context_rows(text.whole_cu_seqlens, options_.cp.size());
  };
  input = filled_up(input, multiple, rows(input), rows(input.encoder));
  const auto plan = [&](const TextInput& queries, const TextInput& keys, bool causal) {
    const auto divided = [](const TextInput& text) {
      return parallel::DividedTexts{text.whole_cu_seqlens, text.tokens.dim(0)};
    };
    return std::make_shared<const parallel::ContextPlan>(divided(queries), divided(keys), causal,
                                                         options_.cp, options_.device);
  };
  reading.context = plan(input, input, kind() != ModelKind::kEncoder);
  if (blocks_.size() == 1) return;
  reading.encoder_context = plan(input.encoder, input.encoder, false);
  reading.encoded_context = plan(input, input.encoder, false);
}

Tensor Transformer::run(const Reading& reading) {
  if (pipeline_ == nullptr) return advance(reading, {}, {0, block_count()}).hidden;
  if (runtime::Tape::current() != nullptr) return advance_chunk(reading);
  Tensor result;
  for (int chunk = 0; chunk < pipeline_->shape().chunks; ++chunk) {
    pipeline_->select(chunk);
    result = advance_chunk(reading);
  }
  return result;
}

Tensor Transformer::advance_chunk(const Reading& reading) {
  const Range range = blocks_of_part(pipeline_->part());
  const parallel::Pipeline::Incoming incoming{.shapes = shapes_before(range.begin, reading),
                                              .dtype = options_.precision.compute,
                                              .device = options_.device};
  const auto outputs = pipeline_->run(incoming, [&](const std::vector<Tensor>& received) {
    Stream stream;
    if (!received.empty())
      (is_encoder(0) && range.begin == start_of(1) ? stream.encoded : stream.hidden) = received[0];
    if (received.size() > 1) stream.encoded = received[1];
    stream = advance(reading, std::move(stream), range);
    std::vector<Tensor> sent;
    for (const Tensor& tensor : {stream.hidden, stream.encoded})
      if (tensor.defined()) sent.push_back(tensor);
    return sent;
  });
  return outputs.empty() ? Tensor() : outputs[0];
}

std::vector<runtime::Shape> Transformer::shapes_before(std::int64_t block,
                                                       const Reading& reading) const {
  const auto shape_of = [&](const TextInput& text) {
    const std::int64_t ranks = reading.tp.divides_tokens() ? reading.tp.group.size() : 1;
    return runtime::Shape{text.tokens.dim(0) / ranks, config_->hidden_size};
  };
  const runtime::Shape own = shape_of(reading.input);
  if (block == 0) return {};
  if (blocks_.size() == 1) return {own};
  const std::int64_t decoder = start_of(1);
  if (decodes(reading.cache))
    return block <= decoder ? std::vector<runtime::Shape>{} : std::vector{own};
  const runtime::Shape read = shape_of(reading.input.encoder);
  return block <= decoder ? std::vector{read} : std::vector{own, read};
}

Transformer::Stream Transformer::advance(const Reading& reading, Stream stream,
                                         const Range& range) {
  const auto& [input, cache, tp, context, encoder_context, encoded_context, draws, encoder_draws] =
      reading;
  for (StackId stack = 0; stack < blocks_.size(); ++stack) {
    const std::int64_t start = start_of(stack);
    const Range own{std::max(range.begin - start, std::int64_t{0}),
                    std::min(range.end - start, blocks_[stack])};
    if (own.begin >= own.end) continue;
    if (!is_encoder(stack)) {
      Pass pass{.tp = tp,
                .cache = cache,
                .context = context,
                .encoded_context = encoded_context,
                .encoded = stream.encoded,
                .draws = draws,
                .encoded_draws = encoder_draws};
      if (blocks_.size() > 1 && !decodes(cache)) {
        TANDEM_CHECK(stream.encoded.defined(), "an encoder-decoder without an encoder's text");
        pass.encoded_cu_seqlens = input.encoder.cu_seqlens;
      }
      stream.hidden = run_stack(stack, input, std::move(pass), stream.hidden, own);
    } else if (!decodes(cache)) {
      stream.hidden = run_stack(stack, input.encoder,
                                {.tp = tp, .context = encoder_context, .draws = encoder_draws},
                                stream.hidden, own);
      if (own.end == blocks_[stack]) stream.encoded = std::exchange(stream.hidden, {});
    }
  }
  return stream;
}

Tensor Transformer::run_stack(StackId stack, const TextInput& text, Pass pass, Tensor h,
                              const Range& range) {
  pass.positions = text.positions;
  pass.cu_seqlens = text.cu_seqlens;
  pass.borders = text.borders;
  prepare(stack, pass);
  if (range.begin == 0) h = before_blocks(stack, text, pass.tp);
  for (std::int64_t block = range.begin; block < range.end; ++block) {
    h = stacks_[stack].run(block, h, pass);
    if (pipeline_ != nullptr) options_.pp.progress();
  }
  return range.end == blocks_[stack] ? after_blocks(stack, h) : h;
}

// ---- heads and sizes

parallel::VocabShard Transformer::vocab() {
  TANDEM_CHECK(output_ != nullptr, "this model has a scalar head and no vocabulary scores");
  return vocabulary_.shard(output_, vocab_bias_);
}

Leaf& Transformer::scalar_head() {
  TANDEM_CHECK(score_ != nullptr, "this model has a vocabulary head and no scalar head");
  return *score_;
}

Tensor Transformer::label_scores(const Tensor& hidden) {
  TANDEM_CHECK(options_.head == Head::kClassification, "this model has no scores of labels");
  return runtime::linear(hidden, *score_, nullptr, runtime::DType::kF32);
}

KvCache Transformer::make_cache(std::int64_t slots, std::int64_t capacity,
                                std::int64_t encoder_capacity) const {
  const auto holds = [&](std::int64_t block) {
    return pipeline_ == nullptr || stage_of(start_of(last_stack()) + block) == pipeline_->stage();
  };
  return {blocks_.back(),
          holds,
          slots,
          capacity,
          heads_.kv_heads,
          heads_.head_dim,
          options_.precision.compute,
          options_.device,
          encoder_capacity};
}

double Transformer::training_flops_per_token(std::int64_t sequence_length) const {
  const auto matrices = static_cast<double>(
      store_.logical_elements() -
      (config_->tie_word_embeddings ? 0 : config_->vocab_size * config_->hidden_size));
  const std::int64_t heads = heads_.heads * options_.tp.size();
  const double attention = 6.0 * static_cast<double>(config_->num_hidden_layers * heads *
                                                     heads_.head_dim * sequence_length);
  return 6.0 * matrices + attention;
}

std::vector<std::string> Transformer::other_names(const std::string& name) const {
  if (base_.empty() || !name.starts_with(base_)) return {};
  return {name.substr(base_.size())};
}

}  // namespace tandem::models
