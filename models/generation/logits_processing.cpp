#include "models/generation/logits_processing.h"

#include <algorithm>
#include <limits>

namespace tandem::models {

namespace {

using Tokens = std::span<const std::int32_t>;

constexpr float kNever = -std::numeric_limits<float>::infinity();

float& score_of(std::span<float> scores, std::int32_t token) {
  return scores[static_cast<std::size_t>(token)];
}

// Once for each token that the text has, however often it has it.
void penalize_repetition(float penalty, Tokens text, std::span<float> scores) {
  std::vector<std::int32_t> tokens(text.begin(), text.end());
  std::ranges::sort(tokens);
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  for (const std::int32_t token : tokens) {
    float& score = score_of(scores, token);
    score = score < 0 ? score * penalty : score / penalty;
  }
}

// Forbids what followed earlier on the last size − 1 tokens.
void forbid_repeated_ngrams(std::size_t size, Tokens text, std::span<float> scores) {
  if (text.size() + 1 < size) return;
  const Tokens end = text.last(size - 1);
  for (std::size_t at = 0; at + size <= text.size(); ++at)
    if (std::ranges::equal(text.subspan(at, size - 1), end))
      score_of(scores, text[at + size - 1]) = kNever;
}

void force(std::int32_t token, std::span<float> scores) {
  std::ranges::fill(scores, kNever);
  score_of(scores, token) = 0;
}

}  // namespace

bool LogitsProcessing::any() const {
  return repetition_penalty != 1 || no_repeat_ngram_size > 0 || min_new_tokens > 0 ||
         forced_bos_token_id >= 0 || forced_eos_token_id >= 0;
}

void process_scores(const LogitsProcessing& processing, const TextSoFar& text,
                    std::span<float> scores) {
  if (processing.repetition_penalty != 1)
    penalize_repetition(processing.repetition_penalty, text.tokens, scores);
  if (processing.no_repeat_ngram_size > 0)
    forbid_repeated_ngrams(static_cast<std::size_t>(processing.no_repeat_ngram_size), text.tokens,
                           scores);
  if (text.written < processing.min_new_tokens)
    for (const std::int32_t token : text.eos_token_ids) score_of(scores, token) = kNever;
  if (processing.forced_bos_token_id >= 0 && text.tokens.size() == 1)
    force(processing.forced_bos_token_id, scores);
  if (processing.forced_eos_token_id >= 0 && text.written == text.max_new_tokens - 1)
    force(processing.forced_eos_token_id, scores);
}

}  // namespace tandem::models
