// The roles of RLHF beside the policy, as interfaces on host data. An implementation works on a
// model in this process (written where models are trained), or calls one that does over gRPC
// (launcher/roles). A caller cannot tell which.
//
// Who calls: the first rank of the policy, with the whole batch; it spreads the results over its
// own mesh. Who serves: the first rank of the role; an implementation that spans ranks spreads the
// request over its own group. All calls may return before the work is done; get() of the result
// waits, with a deadline. Calls to one role are executed in the order in which they were made.
// Errors: a request that does not make sense is an Error (usage); a role that died or is late an
// Error (environment) that names role, rank and address.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rl/pending.h"
#include "rl/rollout.h"

namespace tandem::rl {

struct SequenceBatch {
  std::vector<std::vector<std::int32_t>> tokens;  // [sequences][prompt + response]
  std::vector<std::int32_t>
      prompt_lengths;  // [sequences]; the response is the rest, at least one token

  std::size_t size() const { return tokens.size(); }
  std::size_t response_length(std::size_t i) const;
  // Throws Error (usage) naming the sequence where lengths do not fit.
  void validate() const;
};

SequenceBatch sequence_batch(std::span<const Rollout> rollouts);
SequenceBatch sequence_batch(std::span<const Rollout> rollouts,
                             std::span<const std::int64_t> samples);

class ReferenceRole {
 public:
  virtual ~ReferenceRole() = default;
  // Log-probabilities in nats of the response tokens, [sequences][response], from fp32 logits
  // divided by `temperature` (the one that the policy samples with). Dropout off.
  virtual Pending<TokenValues> log_probs(const SequenceBatch& batch, double temperature) = 0;
};

class RewardRole {
 public:
  virtual ~RewardRole() = default;
  // One score per sequence, read at its last token.
  virtual Pending<std::vector<float>> score(const SequenceBatch& batch) = 0;
};

// One optimizer step of the critic on one minibatch.
struct CriticTrainRequest {
  SequenceBatch batch;
  TokenValues
      returns;  // [sequences][steps], steps as in rl/rollout.h: response tokens, or one more
  TokenValues old_values;   // [sequences][at least steps], from `values` before the first step of
                            // the iteration
  double value_clip = 0.2;  // negative: no clipping
  double loss_coefficient = 1;  // multiplies loss and gradient
  double learning_rate = 0;
  double max_grad_norm = 0;  // 0: no clipping
  // Optimizer steps the critic has made before this one. A critic that counts otherwise refuses (it
  // was resumed from another checkpoint than the policy).
  std::int64_t step = 0;

  void validate() const;
};

struct CriticStats {
  double loss = 0;  // ½·mean squared error (clipped), without the coefficient
  double clip_fraction = 0;
  double grad_norm = 0;  // before clipping
  bool operator==(const CriticStats&) const = default;
};

class CriticRole {
 public:
  virtual ~CriticRole() = default;
  // [sequences][response + 1]: the values of the states before each response token and after the
  // last one, that is the value head at positions prompt − 1 … prompt + response − 1.
  virtual Pending<TokenValues> values(const SequenceBatch& batch) = 0;
  virtual Pending<CriticStats> train(const CriticTrainRequest& request) = 0;
  // Writes weights and optimizer into a folder that all ranks reach (whole or not at all); the
  // result is the number of steps the critic has made.
  virtual Pending<std::int64_t> save(const std::string& directory) = 0;
  // Goes on from such a folder; the result is the number of steps it holds.
  virtual Pending<std::int64_t> load(const std::string& directory) = 0;
};

}  // namespace tandem::rl
