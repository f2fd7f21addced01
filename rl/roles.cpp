#include "rl/roles.h"

#include "runtime/base/error.h"

namespace tandem::rl {

std::size_t SequenceBatch::response_length(std::size_t i) const {
  return tokens[i].size() - static_cast<std::size_t>(prompt_lengths[i]);
}

void SequenceBatch::validate() const {
  if (tokens.size() != prompt_lengths.size()) {
    runtime::throw_error("sequence batch: {} sequences but {} prompt lengths", tokens.size(),
                         prompt_lengths.size());
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto length = static_cast<std::int64_t>(tokens[i].size());
    if (prompt_lengths[i] >= 1 && prompt_lengths[i] < length) continue;
    runtime::throw_error(
        "sequence batch: sequence {} has {} tokens and a prompt of {}; both prompt and response "
        "need at least one token",
        i, length, prompt_lengths[i]);
  }
}

SequenceBatch sequence_batch(std::span<const Rollout> rollouts) {
  SequenceBatch batch;
  for (const Rollout& rollout : rollouts) {
    batch.tokens.push_back(rollout.tokens());
    batch.prompt_lengths.push_back(static_cast<std::int32_t>(rollout.prompt.size()));
  }
  return batch;
}

SequenceBatch sequence_batch(std::span<const Rollout> rollouts,
                             std::span<const std::int64_t> samples) {
  SequenceBatch batch;
  for (const std::int64_t sample : samples) {
    const Rollout& rollout = rollouts[static_cast<std::size_t>(sample)];
    batch.tokens.push_back(rollout.tokens());
    batch.prompt_lengths.push_back(static_cast<std::int32_t>(rollout.prompt.size()));
  }
  return batch;
}

void CriticTrainRequest::validate() const {
  batch.validate();
  if (returns.size() != batch.size() || old_values.size() != batch.size()) {
    runtime::throw_error("critic batch: {} sequences, returns for {}, old values for {}",
                         batch.size(), returns.size(), old_values.size());
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const std::size_t tokens = batch.response_length(i);
    const std::size_t steps = returns[i].size();
    if ((steps == tokens || steps == tokens + 1) && old_values[i].size() >= steps) continue;
    runtime::throw_error(
        "critic batch: sequence {} has {} response tokens, {} returns and {} old values", i, tokens,
        steps, old_values[i].size());
  }
}

}  // namespace tandem::rl
