// Sampling continuations with a KV cache, on token ids, with the training model's own kernels and
// weights. A decoder continues its prompt; an encoder-decoder's encoder reads the prompt and its
// decoder writes from its start token on.
//
// Collective over the model's tensor-parallel group: every rank passes the same prompts and gets
// the same tokens. The random number of a token is keyed by (seed, sample id, position in the
// response), so a sample does not depend on the batch it is generated in, nor on the layout.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/generation/logits_processing.h"
#include "models/model.h"

namespace tandem::models {

struct GenerateOptions {
  std::int64_t max_new_tokens = 64;
  runtime::SamplingParams sampling;
  std::int32_t eos_token_id = -1;  // generation of a sequence ends after it; -1: never
  std::vector<std::int32_t> more_eos_token_ids = {};  // and after any of these
  LogitsProcessing processing = {};
  // Whether a text ends with what was `written` last, for stop strings; null: never. Every rank
  // asks, and must get the same answer.
  std::function<bool(std::size_t prompt, std::span<const std::int32_t> written)> stops = {};
  std::uint64_t seed = 0;
  std::int64_t batch_size = 64;  // sequences decoded together
  // false: every token is computed from the whole text again, as training does. Slow, and the
  // control of the cache.
  bool use_cache = true;

  // −1 left out.
  std::vector<std::int32_t> eos_token_ids() const;
};

// Why a text is over.
enum class Ending {
  kLength,  // max_new_tokens
  kEos,
  kStop,  // GenerateOptions::stops
};

struct Generated {
  std::vector<std::int32_t> tokens;  // with the end-of-sequence token, if it came
  std::vector<float> log_probs;      // of each token at the sampling temperature, after processing,
                                     // before top-k and top-p
  bool ended_with_eos = false;
  Ending ending = Ending::kLength;
};

// Called as tokens come; `last` with the last one of a prompt.
using OnToken = std::function<void(std::size_t prompt, std::int32_t token, bool last)>;

// `sample_ids` (one per prompt) key the random numbers. Throws Error for an empty prompt, where
// prompt + max_new_tokens exceed the model's positions, and for an encoder.
std::vector<Generated> generate(Model& model, std::span<const std::vector<std::int32_t>> prompts,
                                std::span<const std::int64_t> sample_ids,
                                const GenerateOptions& options, const OnToken& on_token = {});

}  // namespace tandem::models
