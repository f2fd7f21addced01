// What is done to the scores of the next token before one is chosen, as transformers'
// LogitsProcessors of these names do it and in their order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::models {

struct LogitsProcessing {
  // Scores of tokens that the text has are divided by it if positive, else multiplied (Keskar et
  // al., "CTRL", 2019); 1: off.
  float repetition_penalty = 1;
  std::int64_t no_repeat_ngram_size = 0;  // no so many tokens in a row twice in a text; 0: off
  std::int64_t min_new_tokens = 0;        // before which the text does not end
  std::int32_t forced_bos_token_id = -1;  // an encoder-decoder's first token; −1: any
  std::int32_t forced_eos_token_id = -1;  // the last token of a text as long as may be; −1: any

  bool any() const;
};

// What the decoder has of a text: prompt and written tokens, or an encoder-decoder's start token
// and written tokens.
struct TextSoFar {
  std::span<const std::int32_t> tokens;
  std::int64_t written = 0;  // of them
  std::int64_t max_new_tokens = 0;
  std::span<const std::int32_t> eos_token_ids = {};
};

// `scores` [vocab]: logits, or log-probabilities as beam search has them.
void process_scores(const LogitsProcessing& processing, const TextSoFar& text,
                    std::span<float> scores);

}  // namespace tandem::models
