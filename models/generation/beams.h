// Beam search over one prompt, without a model: which of the scored continuations go on, and which
// finished texts are kept. The rules are those of transformers' generate(num_beams=…).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::models {

enum class EarlyStopping {
  kHeuristic,  // false: when no running text, taken at its present length, beats the kept ones
  kFirst,      // true: when num_beams texts are finished
  kNever,      // "never": when no running text can beat them at any length
};

struct BeamOptions {
  std::int64_t num_beams = 1;
  // A finished text's score is the sum of its log-probabilities / length^length_penalty.
  float length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::kHeuristic;
};

// A text with one more token than the running beam that it comes from.
struct Continuation {
  std::int32_t beam = 0;
  std::int32_t token = 0;
  float log_prob = 0;  // of the whole text
  bool ends = false;   // with this token
};

struct FinishedText {
  std::vector<std::int32_t> tokens;
  float score = 0;
};

class Beams {
 public:
  Beams(const BeamOptions& options, std::int64_t max_new_tokens);

  // How many continuations advance() needs: more than beams, as some of them end.
  static std::int64_t continuations(std::int64_t num_beams, std::size_t eos_tokens);

  // Of each running beam, [num_beams]. At first all are empty and only the first counts.
  const std::vector<float>& log_probs() const { return log_probs_; }
  const std::vector<std::vector<std::int32_t>>& texts() const { return texts_; }
  // The beam that each of the running ones came from at the last step.
  const std::vector<std::int32_t>& parents() const { return parents_; }
  bool is_over() const { return over_; }

  // `best`: the best continuations of all beams, best first.
  void advance(std::span<const Continuation> best);

  // Best first; num_beams of them once it is over.
  const std::vector<FinishedText>& finished() const { return finished_; }

 private:
  void finish(std::span<const Continuation> best, float length);
  void go_on(std::span<const Continuation> best);
  bool may_improve(std::size_t length) const;
  std::vector<std::int32_t> text_of(const Continuation& continuation) const;

  BeamOptions options_;
  std::int64_t max_new_tokens_;
  std::vector<std::vector<std::int32_t>> texts_;
  std::vector<float> log_probs_;
  std::vector<std::int32_t> parents_;
  std::vector<FinishedText> finished_;
  bool over_ = false;
};

}  // namespace tandem::models
