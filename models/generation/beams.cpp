#include "models/generation/beams.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"

namespace tandem::models {

namespace {

// What transformers takes for a text that must not be chosen.
constexpr float kHopeless = -1e9f;

}  // namespace

Beams::Beams(const BeamOptions& options, std::int64_t max_new_tokens)
    : options_(options),
      max_new_tokens_(max_new_tokens),
      texts_(static_cast<std::size_t>(options.num_beams)),
      log_probs_(static_cast<std::size_t>(options.num_beams), kHopeless),
      parents_(static_cast<std::size_t>(options.num_beams), 0) {
  log_probs_.front() = 0;
}

std::int64_t Beams::continuations(std::int64_t num_beams, std::size_t eos_tokens) {
  return num_beams * static_cast<std::int64_t>(std::max<std::size_t>(2, 1 + eos_tokens));
}

void Beams::advance(std::span<const Continuation> best) {
  TANDEM_CHECK(!over_ && best.size() >= texts_.size(), "{} continuations of {} beams", best.size(),
               texts_.size());
  const std::size_t length = texts_.front().size() + 1;
  finish(best.first(texts_.size()), static_cast<float>(length));
  go_on(best);
  const bool full = finished_.size() == texts_.size();
  over_ = !may_improve(length) || (full && options_.early_stopping == EarlyStopping::kFirst) ||
          std::ranges::all_of(best, &Continuation::ends);
}

void Beams::finish(std::span<const Continuation> best, float length) {
  for (const Continuation& continuation : best)
    if (continuation.ends)
      finished_.push_back({text_of(continuation),
                           continuation.log_prob / std::pow(length, options_.length_penalty)});
  std::ranges::stable_sort(finished_, std::greater<>(), &FinishedText::score);
  finished_.resize(std::min(finished_.size(), texts_.size()));
}

// Those that do not end, in their order; where they do not suffice, hopeless ones make up the
// number.
void Beams::go_on(std::span<const Continuation> best) {
  std::vector<Continuation> order(best.begin(), best.end());
  for (Continuation& continuation : order)
    if (continuation.ends) continuation.log_prob += kHopeless;
  std::ranges::stable_sort(order, std::greater<>(), &Continuation::log_prob);
  std::vector<std::vector<std::int32_t>> texts;
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    texts.push_back(text_of(order[i]));
    log_probs_[i] = order[i].log_prob;
    parents_[i] = order[i].beam;
  }
  texts_ = std::move(texts);
}

// Whether the best running text could still be better than the worst that is kept.
bool Beams::may_improve(std::size_t length) const {
  if (finished_.size() < texts_.size()) return true;
  const bool longest =
      options_.early_stopping == EarlyStopping::kNever && options_.length_penalty > 0;
  const auto at = static_cast<float>(longest ? max_new_tokens_ : static_cast<std::int64_t>(length));
  return log_probs_.front() / std::pow(at, options_.length_penalty) > finished_.back().score;
}

std::vector<std::int32_t> Beams::text_of(const Continuation& continuation) const {
  std::vector<std::int32_t> text = texts_[static_cast<std::size_t>(continuation.beam)];
  text.push_back(continuation.token);
  return text;
}

}  // namespace tandem::models
