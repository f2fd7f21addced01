#include "models/generation/generate.h"

#include <algorithm>

#include "models/generation/model_runner.h"
#include "runtime/base/random.h"
#include "runtime/kernels/backend.h"

namespace tandem::models {

using runtime::DType;
using runtime::Tensor;

namespace {

// Samples one batch of prompts after the other.
class Sampler {
 public:
  Sampler(Model& model, std::span<const std::vector<std::int32_t>> prompts,
          std::span<const std::int64_t> sample_ids, const GenerateOptions& options,
          const OnToken& on_token)
      : runner_(model, prompts,
                {.max_new_tokens = options.max_new_tokens,
                 .slots = std::min(options.batch_size, static_cast<std::int64_t>(prompts.size())),
                 .use_cache = options.use_cache}),
        sample_ids_(sample_ids),
        options_(options),
        on_token_(on_token),
        eos_token_ids_(options.eos_token_ids()),
        results_(prompts.size()) {}

  std::vector<Generated> run() {
    const auto batch = static_cast<std::size_t>(options_.batch_size);
    for (std::size_t begin = 0; begin < results_.size(); begin += batch)
      run_batch(begin, std::min(results_.size(), begin + batch));
    return std::move(results_);
  }

 private:
  void run_batch(std::size_t begin, std::size_t end) {
    std::vector<Sequence> active;
    for (std::size_t i = begin; i < end; ++i)
      active.push_back(runner_.start(i, static_cast<std::int32_t>(i - begin)));
    while (!active.empty()) {
      sample(runner_.next_logits(active), active);
      std::erase_if(active, [&](const Sequence& sequence) { return is_over(sequence); });
    }
  }

  // Draws the next token of every active sequence.
  void sample(Tensor logits, std::vector<Sequence>& active) {
    std::vector<std::int32_t> drawn(active.size());
    std::vector<float> log_probs(active.size());
    if (logits.defined()) {
      if (options_.processing.any()) logits = processed(logits, active);
      draw(logits, active, drawn);
      log_probs = log_probs_of(logits, drawn);
    }
    runner_.share_from_last(drawn, "sampled tokens");
    runner_.share_from_last(log_probs, "their log-probabilities");
    for (std::size_t i = 0; i < active.size(); ++i) {
      Sequence& sequence = active[i];
      sequence.text.push_back(drawn[i]);
      Generated& result = results_[sequence.prompt];
      result.tokens.push_back(drawn[i]);
      result.log_probs.push_back(log_probs[i]);
      result.ending = ending_of(sequence);
      result.ended_with_eos = result.ending == Ending::kEos;
      if (on_token_) on_token_(sequence.prompt, drawn[i], is_over(sequence));
    }
  }

  // kLength also for what is not over yet.
  Ending ending_of(const Sequence& sequence) const {
    if (std::ranges::count(eos_token_ids_, sequence.text.back()) > 0) return Ending::kEos;
    if (options_.stops && options_.stops(sequence.prompt, sequence.written())) return Ending::kStop;
    return Ending::kLength;
  }

  bool is_over(const Sequence& sequence) const {
    const Generated& result = results_[sequence.prompt];
    return result.ending != Ending::kLength ||
           static_cast<std::int64_t>(result.tokens.size()) >= options_.max_new_tokens;
  }

  Tensor processed(const Tensor& logits, const std::vector<Sequence>& active) const {
    std::vector<float> scores = logits.to_vector<float>();
    const std::size_t vocab = scores.size() / active.size();
    for (std::size_t i = 0; i < active.size(); ++i)
      process_scores(options_.processing,
                     {.tokens = active[i].text,
                      .written = static_cast<std::int64_t>(active[i].written().size()),
                      .max_new_tokens = options_.max_new_tokens,
                      .eos_token_ids = eos_token_ids_},
                     std::span(scores).subspan(i * vocab, vocab));
    return Tensor::from(scores, logits.shape(), logits.device());
  }

  void draw(const Tensor& logits, const std::vector<Sequence>& active,
            std::vector<std::int32_t>& drawn) const {
    const runtime::Philox random(options_.seed, "sample tokens");
    std::vector<float> uniform;
    for (const Sequence& sequence : active)
      uniform.push_back(
          random.uniform(static_cast<std::uint64_t>(sample_ids_[sequence.prompt]) * kIdStride +
                         sequence.written().size()));
    runtime::backend_of(logits).sample(logits, options_.sampling, uniform, drawn);
  }

  // Changes the logits.
  std::vector<float> log_probs_of(Tensor& logits, const std::vector<std::int32_t>& tokens) const {
    runtime::Backend& backend = runtime::backend_of(logits);
    const auto n = static_cast<std::int64_t>(tokens.size());
    if (options_.sampling.temperature > 0 && options_.sampling.temperature != 1.0f)
      backend.scale(logits, 1.0f / options_.sampling.temperature);
    const auto column = [&](std::int64_t width) {
      return Tensor::empty({n, width}, DType::kF32, logits.device());
    };
    Tensor maximum = column(1), sums = column(3), lse = column(1), log_prob = column(1),
           entropy = column(1);
    backend.row_max(logits, maximum);
    backend.softmax_sums(logits, maximum, runner_.to_device(tokens), 0, sums);
    backend.softmax_stats(maximum, sums, lse, log_prob, entropy);
    return log_prob.to_vector<float>();
  }

  // More than any response is long, so that the random numbers of samples do not overlap.
  static constexpr std::uint64_t kIdStride = 1u << 20;

  ModelRunner runner_;
  std::span<const std::int64_t> sample_ids_;
  const GenerateOptions& options_;
  const OnToken& on_token_;
  std::vector<std::int32_t> eos_token_ids_;
  std::vector<Generated> results_;
};

}  // namespace

std::vector<std::int32_t> GenerateOptions::eos_token_ids() const {
  std::vector<std::int32_t> ids = more_eos_token_ids;
  if (eos_token_id >= 0) ids.push_back(eos_token_id);
  return ids;
}

std::vector<Generated> generate(Model& model, std::span<const std::vector<std::int32_t>> prompts,
                                std::span<const std::int64_t> sample_ids,
                                const GenerateOptions& options, const OnToken& on_token) {
  TANDEM_CHECK(prompts.size() == sample_ids.size(), "{} prompts with {} sample ids", prompts.size(),
               sample_ids.size());
  if (prompts.empty()) return {};
  const runtime::TapeScope no_recording(nullptr);
  return Sampler(model, prompts, sample_ids, options, on_token).run();
}

}  // namespace tandem::models
