#include "models/generation/model_runner.h"

#include <algorithm>

#include "runtime/autograd/ops/elementwise.h"
#include "runtime/autograd/ops/linear.h"
#include "runtime/kernels/backend.h"

namespace tandem::models {

using runtime::Tensor;

namespace {

// Sequences one after the other.
struct Packed {
  std::vector<std::int32_t> tokens, positions, borders = {0};

  void add(const std::vector<std::int32_t>& sequence) {
    for (std::size_t t = 0; t < sequence.size(); ++t) {
      tokens.push_back(sequence[t]);
      positions.push_back(static_cast<std::int32_t>(t));
    }
    borders.push_back(static_cast<std::int32_t>(tokens.size()));
  }
};

}  // namespace

ModelRunner::ModelRunner(Model& model, std::span<const std::vector<std::int32_t>> prompts,
                         const Options& options)
    : model_(model),
      prompts_(prompts),
      device_(model.parameters().device()),
      has_encoder_(model.kind() == ModelKind::kEncoderDecoder),
      read_(static_cast<std::size_t>(options.slots), 0) {
  const std::int64_t capacity = checked_capacity(options.max_new_tokens);
  if (!options.use_cache) return;
  cache_.emplace(model_.make_cache(options.slots, capacity, has_encoder_ ? longest_prompt() : 0));
  // An encoder-decoder's step also depends on the length of its encoder's texts, and T5's on how
  // far back it looks.
  if (has_encoder_ || model_.pipeline() != nullptr) return;
  step_input_ = Tensor::empty({4 * options.slots}, runtime::DType::kI32, device_);
  step_output_ =
      Tensor::empty({options.slots, model_.hidden_size()}, cache_->layer(0).keys.dtype(), device_);
}

std::int64_t ModelRunner::longest_prompt() const {
  std::size_t longest = 0;
  for (const auto& prompt : prompts_) {
    if (prompt.empty())
      runtime::throw_error("a prompt is empty; generation needs at least one token");
    longest = std::max(longest, prompt.size());
  }
  return static_cast<std::int64_t>(longest);
}

// Tokens that the decoder may have to see.
std::int64_t ModelRunner::checked_capacity(std::int64_t max_new_tokens) const {
  if (model_.kind() == ModelKind::kEncoder)
    runtime::throw_error("an encoder reads texts and cannot generate one; use a decoder");
  const std::int64_t prompt = longest_prompt();
  const std::int64_t capacity = (has_encoder_ ? 1 : prompt) + max_new_tokens;
  if (std::max(capacity, prompt) > model_.max_positions())
    runtime::throw_error(
        "a prompt of {} tokens and max_new_tokens {} exceed the model's {} positions", prompt,
        max_new_tokens, model_.max_positions());
  return capacity;
}

Sequence ModelRunner::start(std::size_t prompt, std::int32_t slot) {
  read_[static_cast<std::size_t>(slot)] = 0;
  Sequence sequence{.prompt = prompt, .slot = slot};
  sequence.text = has_encoder_ ? std::vector{model_.decoder_start_token()} : prompts_[prompt];
  sequence.begin = sequence.text.size();
  return sequence;
}

Tensor ModelRunner::next_logits(std::span<const Sequence> sequences) {
  const bool read_before = read_[static_cast<std::size_t>(sequences.front().slot)] > 0;
  const Tensor hidden = cache_ && read_before ? read_on(sequences) : read(sequences);
  if (cache_)
    for (const Sequence& sequence : sequences)
      read_[static_cast<std::size_t>(sequence.slot)] = sequence.text.size();
  if (!hidden.defined()) return {};
  return parallel::gathered_logits(hidden, model_.vocab(), model_.vocab_size());
}

// Hidden states of each sequence's last token, from its whole text; into the cache if there is one.
Tensor ModelRunner::read(std::span<const Sequence> sequences) {
  Packed texts, encoder;
  CacheUse use{.cache = cache_ ? &*cache_ : nullptr, .slots = {}, .positions = {}, .decode = false};
  std::vector<std::int32_t> last;
  for (const Sequence& sequence : sequences) {
    texts.add(sequence.text);
    if (has_encoder_) encoder.add(prompts_[sequence.prompt]);
    use.slots.resize(texts.tokens.size(), sequence.slot);
    last.push_back(texts.borders.back() - 1);
  }
  use.positions = texts.positions;
  ModelInput input{{to_device(texts.tokens), to_device(texts.positions), texts.borders}};
  if (has_encoder_)
    input.encoder = {to_device(encoder.tokens), to_device(encoder.positions), encoder.borders};
  const Tensor hidden = model_.forward(input, cache_ ? &use : nullptr);
  return hidden.defined() ? runtime::select_rows(hidden, to_device(last)) : Tensor();
}

// The same where all but each sequence's last token lies in the cache.
Tensor ModelRunner::read_on(std::span<const Sequence> sequences) {
  const runtime::GenerationStep step;
  ModelInput input;
  CacheUse use{.cache = &*cache_, .slots = {}, .positions = {}, .decode = true};
  std::vector<std::int32_t> tokens;
  for (const Sequence& sequence : sequences) {
    tokens.push_back(sequence.text.back());
    use.slots.push_back(sequence.slot);
    use.positions.push_back(static_cast<std::int32_t>(sequence.text.size()) - 1);
  }
  if (step_input_.defined()) return replayed(tokens, std::move(use));
  input.tokens = to_device(tokens);
  input.positions = to_device(use.positions);
  return model_.forward(input, &use);
}

// Everything that the step reads of the host's memory is in `step_input_` before it begins.
Tensor ModelRunner::replayed(const std::vector<std::int32_t>& tokens, CacheUse use) {
  const auto n = static_cast<std::int64_t>(tokens.size());
  std::vector<std::int32_t> values = tokens;
  values.insert(values.end(), use.positions.begin(), use.positions.end());
  values.insert(values.end(), use.slots.begin(), use.slots.end());
  for (const std::int32_t position : use.positions) values.push_back(position + 1);
  runtime::Backend& backend = runtime::backend_of(device_);
  Tensor filled = step_input_.slice(0, {4 * n}), output = step_output_.rows(0, n);
  backend.copy(Tensor::from(values, {4 * n}), filled);
  const auto part = [&](std::int64_t index) { return filled.rows(index * n, n); };
  use.on_device = {.slots = part(2), .positions = part(1), .lengths = part(3)};
  std::unique_ptr<runtime::Replay>& step = steps_[tokens.size()];
  if (step == nullptr) step = backend.make_replay();
  step->run([&] {
    ModelInput input;
    input.tokens = part(0);
    input.positions = part(1);
    backend.copy(model_.forward(input, &use), output);
  });
  return output;
}

void ModelRunner::fork(std::int32_t from, std::int32_t to, bool with_encoder_text) {
  if (!cache_) return;
  const std::size_t length = read_[static_cast<std::size_t>(from)];
  cache_->copy_text(from, to, static_cast<std::int64_t>(length));
  if (has_encoder_ && with_encoder_text) cache_->copy_encoder_text(from, to);
  read_[static_cast<std::size_t>(to)] = length;
}

}  // namespace tandem::models
