#include "models/generation/generate.h"

#include <algorithm>
#include <optional>

#include "runtime/autograd/ops/elementwise.h"
#include "runtime/base/random.h"
#include "runtime/kernels/backend.h"

namespace tandem::models {

using runtime::DType;
using runtime::Tensor;

namespace {

// One sequence being generated, in slot `slot` of the cache.
struct Active {
  std::size_t prompt = 0;
  std::int32_t slot = 0;
  std::int32_t position = 0;  // of the token fed next
  std::int32_t token = 0;
};

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

class Generator {
 public:
  Generator(Model& model, std::span<const std::vector<std::int32_t>> prompts,
            std::span<const std::int64_t> sample_ids, const GenerateOptions& options,
            const std::function<void(std::size_t, std::int32_t)>& on_token)
      : model_(model),
        prompts_(prompts),
        sample_ids_(sample_ids),
        options_(options),
        on_token_(on_token),
        device_(model.parameters().device()),
        has_encoder_(model.kind() == ModelKind::kEncoderDecoder),
        results_(prompts.size()) {}

  std::vector<Generated> run() {
    const runtime::TapeScope no_recording(nullptr);
    const std::int64_t capacity = checked_capacity();
    const auto batch = static_cast<std::size_t>(options_.batch_size);
    std::optional<KvCache> cache;
    if (options_.use_cache)
      cache.emplace(model_.make_cache(static_cast<std::int64_t>(std::min(batch, prompts_.size())),
                                      capacity, has_encoder_ ? longest_prompt() : 0));
    for (std::size_t begin = 0; begin < prompts_.size(); begin += batch)
      run_batch(begin, std::min(prompts_.size(), begin + batch), cache ? &*cache : nullptr);
    return std::move(results_);
  }

 private:
  std::int64_t longest_prompt() const {
    std::size_t longest = 0;
    for (const auto& prompt : prompts_) {
      if (prompt.empty())
        runtime::throw_error("a prompt is empty; generation needs at least one token");
      longest = std::max(longest, prompt.size());
    }
    return static_cast<std::int64_t>(longest);
  }

  // Tokens that the decoder may have to see.
  std::int64_t checked_capacity() const {
    if (model_.kind() == ModelKind::kEncoder)
      runtime::throw_error("an encoder reads texts and cannot generate one; use a decoder");
    const std::int64_t prompt = longest_prompt();
    const std::int64_t capacity = (has_encoder_ ? 1 : prompt) + options_.max_new_tokens;
    if (std::max(capacity, prompt) > model_.max_positions())
      runtime::throw_error(
          "a prompt of {} tokens and max_new_tokens {} exceed the model's {} positions", prompt,
          options_.max_new_tokens, model_.max_positions());
    return capacity;
  }

  void run_batch(std::size_t begin, std::size_t end, KvCache* cache) {
    std::vector<Active> active;
    for (std::size_t i = begin; i < end; ++i)
      active.push_back({i, static_cast<std::int32_t>(i - begin), 0, 0});
    sample(read_texts(active, cache), active);
    while (!active.empty())
      sample(cache != nullptr ? decode(active, *cache) : read_texts(active, nullptr), active);
  }

  // What the decoder has of a sequence so far.
  std::vector<std::int32_t> text_of(const Active& sequence) const {
    std::vector<std::int32_t> text =
        has_encoder_ ? std::vector{model_.decoder_start_token()} : prompts_[sequence.prompt];
    const auto& written = results_[sequence.prompt].tokens;
    text.insert(text.end(), written.begin(), written.end());
    return text;
  }

  // Hidden states of each sequence's last token, from its whole text; into `cache` unless null.
  // Here and below, undefined on a stage of a pipeline that has no such states.
  Tensor read_texts(std::vector<Active>& active, KvCache* cache) {
    Packed texts, encoder;
    CacheUse use{.cache = cache, .slots = {}, .positions = {}, .decode = false};
    std::vector<std::int32_t> last;
    for (Active& sequence : active) {
      texts.add(text_of(sequence));
      if (has_encoder_) encoder.add(prompts_[sequence.prompt]);
      use.slots.resize(texts.tokens.size(), sequence.slot);
      sequence.position = texts.positions.back() + 1;
      last.push_back(texts.borders.back() - 1);
    }
    use.positions = texts.positions;
    ModelInput input{{host_tensor(texts.tokens), host_tensor(texts.positions), texts.borders}};
    if (has_encoder_)
      input.encoder = {host_tensor(encoder.tokens), host_tensor(encoder.positions),
                       encoder.borders};
    const Tensor hidden = model_.forward(input, cache != nullptr ? &use : nullptr);
    return hidden.defined() ? runtime::select_rows(hidden, host_tensor(last)) : Tensor();
  }

  Tensor decode(std::vector<Active>& active, KvCache& cache) {
    ModelInput input;
    CacheUse use{.cache = &cache, .slots = {}, .positions = {}, .decode = true};
    std::vector<std::int32_t> tokens;
    for (Active& sequence : active) {
      tokens.push_back(sequence.token);
      use.slots.push_back(sequence.slot);
      use.positions.push_back(sequence.position++);
    }
    input.tokens = host_tensor(tokens);
    input.positions = host_tensor(use.positions);
    return model_.forward(input, &use);
  }

  // Draws the next token of every active sequence from its hidden state, and drops those that
  // ended.
  void sample(const Tensor& hidden, std::vector<Active>& active) {
    std::vector<std::int32_t> drawn(active.size());
    std::vector<float> log_probs(active.size());
    if (hidden.defined()) draw(hidden, active, drawn, log_probs);
    if (const parallel::Pipeline* pipeline = model_.pipeline()) {
      share_from_last(*pipeline, drawn, "sampled tokens");
      share_from_last(*pipeline, log_probs, "their log-probabilities");
    }
    std::vector<Active> alive;
    for (std::size_t i = 0; i < active.size(); ++i) {
      Generated& result = results_[active[i].prompt];
      result.tokens.push_back(drawn[i]);
      result.log_probs.push_back(log_probs[i]);
      result.ended_with_eos = ends(drawn[i]);
      if (on_token_) on_token_(active[i].prompt, drawn[i]);
      active[i].token = drawn[i];
      const bool full = static_cast<std::int64_t>(result.tokens.size()) >= options_.max_new_tokens;
      if (!result.ended_with_eos && !full) alive.push_back(active[i]);
    }
    active = std::move(alive);
  }

  bool ends(std::int32_t token) const {
    return token == options_.eos_token_id ||
           std::ranges::count(options_.more_eos_token_ids, token) > 0;
  }

  void draw(const Tensor& hidden, const std::vector<Active>& active,
            std::vector<std::int32_t>& drawn, std::vector<float>& log_probs) {
    Tensor logits = parallel::gathered_logits(hidden, model_.vocab(), model_.vocab_size());
    const runtime::Philox random(options_.seed, "sample tokens");
    std::vector<float> uniform;
    for (const Active& sequence : active)
      uniform.push_back(
          random.uniform(static_cast<std::uint64_t>(sample_ids_[sequence.prompt]) * kIdStride +
                         results_[sequence.prompt].tokens.size()));
    runtime::backend_of(hidden).sample(logits, options_.sampling, uniform, drawn);
    log_probs = log_probs_of(logits, drawn);
  }

  template <typename T>
  void share_from_last(const parallel::Pipeline& pipeline, std::vector<T>& values,
                       std::string_view name) const {
    Tensor tensor = Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device_);
    pipeline.share_from_last(tensor, name);
    values = tensor.to_vector<T>();
  }

  std::vector<float> log_probs_of(Tensor& logits, const std::vector<std::int32_t>& tokens) {
    runtime::Backend& backend = runtime::backend_of(logits);
    const auto n = static_cast<std::int64_t>(tokens.size());
    if (options_.sampling.temperature > 0 && options_.sampling.temperature != 1.0f)
      backend.scale(logits, 1.0f / options_.sampling.temperature);
    const auto column = [&](std::int64_t width) {
      return Tensor::empty({n, width}, DType::kF32, device_);
    };
    Tensor maximum = column(1), sums = column(3), lse = column(1), log_prob = column(1),
           entropy = column(1);
    backend.row_max(logits, maximum);
    backend.softmax_sums(logits, maximum, host_tensor(tokens), 0, sums);
    backend.softmax_stats(maximum, sums, lse, log_prob, entropy);
    return log_prob.to_vector<float>();
  }

  Tensor host_tensor(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device_);
  }

  // More than any response is long, so that the random numbers of samples do not overlap.
  static constexpr std::uint64_t kIdStride = 1u << 20;

  Model& model_;
  std::span<const std::vector<std::int32_t>> prompts_;
  std::span<const std::int64_t> sample_ids_;
  const GenerateOptions& options_;
  const std::function<void(std::size_t, std::int32_t)>& on_token_;
  runtime::Device device_;
  bool has_encoder_;
  std::vector<Generated> results_;
};

}  // namespace

std::vector<Generated> generate(Model& model, std::span<const std::vector<std::int32_t>> prompts,
                                std::span<const std::int64_t> sample_ids,
                                const GenerateOptions& options,
                                const std::function<void(std::size_t, std::int32_t)>& on_token) {
  TANDEM_CHECK(prompts.size() == sample_ids.size(), "{} prompts with {} sample ids", prompts.size(),
               sample_ids.size());
  if (prompts.empty()) return {};
  return Generator(model, prompts, sample_ids, options, on_token).run();
}

}  // namespace tandem::models
