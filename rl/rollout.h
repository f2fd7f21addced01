// What one sampled response carries through an iteration of PPO. Sequences are ragged host vectors
// and the model sees them packed, without padding; so there is no padding token that could be
// mistaken for an end of sequence, and position ids need no mask.
//
// Steps. A response of n tokens has one *step* per token: step t is the state before token t, its
// action is token t. The value of step t is the critic's output at the token before (the prompt's
// last token for t = 0). A response that ended before the length limit may have one step more, the
// state after its last token: see FinalStep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::rl {

// One fp32 number per token (or per step) of each sequence: [sequences][tokens].
using TokenValues = std::vector<std::vector<float>>;

// Where the score of a response lands, and whether the state after its last token counts.
enum class FinalStep {
  // TRL's convention (its value mask is one position longer than its token mask): a response
  // shorter than the length
  // limit has a step n for the state after its end-of-sequence token. It carries the score, has a
  // value that the critic
  // learns, takes part in reward whitening, but has no action: it is in neither the policy loss nor
  // the whitening of
  // advantages. A response as long as the limit has no such step; its last token carries the score.
  kAfterLastToken,
  // One step per token, the last token carries the score.
  kLastToken,
};

struct Rollout {
  std::int64_t id = 0;  // global index of the sample over the run; keys its random numbers
  std::vector<std::int32_t> prompt = {};
  std::vector<std::int32_t> response = {};  // n ≥ 1 tokens, the end-of-sequence token included
  bool ended_with_eos = false;
  std::vector<float> log_probs = {};      // [n] nats, at the sampling temperature
  std::vector<float> ref_log_probs = {};  // [n] nats, by the reference at the same temperature
  std::vector<float> values = {};         // [n + 1], by the critic before its update
  float score = 0;                        // of the whole sequence, by the reward model, as it came

  std::vector<std::int32_t> tokens() const;  // prompt then response
  bool operator==(const Rollout&) const = default;
};

// Cuts a response (and what it carries per token) after the first `eos`, which stays; sets
// ended_with_eos. Sampling may go on to the fixed length for the whole batch: what was sampled
// after the end is thrown away here.
void truncate_at_eos(Rollout& rollout, std::int32_t eos);

// Steps of a response of `tokens` tokens under a length limit.
std::size_t step_count(std::size_t tokens, std::size_t max_response_length, FinalStep final_step);

// Rollouts as bytes, for exchange between ranks and for checkpoints (little-endian, fixed order, so
// equal rollouts give equal bytes). unpack throws Error (environment) on bytes that pack did not
// write.
std::string pack_rollouts(std::span<const Rollout> rollouts);
std::vector<Rollout> unpack_rollouts(std::string_view bytes);

}  // namespace tandem::rl
