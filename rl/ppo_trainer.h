// Proximal policy optimisation on the policy's ranks: rollouts with the training model itself,
// experience from the roles, updates, metrics, checkpoints. The numbers between the models are pure
// functions (ppo.h).
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "data/datasets/prompts.h"
#include "rl/config.h"
#include "rl/ppo.h"
#include "train/engine.h"
#include "train/metric_sink.h"

namespace tandem::rl {

struct PpoParts {
  train::Engine* policy = nullptr;
  PpoRoles roles;  // called on the policy's first rank only
  // Runs calls to the roles: on the first rank alone where the roles live on other ranks; as
  // RoleGroup::during where they share the policy's ranks.
  std::function<void(const std::function<void()>& calls)> with_roles;
  const data::PromptDataset* prompts = nullptr;
  const data::Tokenizer* tokenizer = nullptr;
  std::filesystem::path folder;  // of the stage
  std::string stage;
  std::uint64_t seed = 0;
  // Called at evaluations, on all policy ranks.
  std::function<void(std::int64_t iteration, train::MetricSink& sink)> on_evaluation;
};

struct PpoResult {
  std::int64_t iterations = 0;
  std::int64_t tokens = 0;  // generated and trained on
  double seconds = 0;
  double kl = 0;     // of the last iteration, nats per response
  double score = 0;  // likewise, mean of the reward model
};

// Runs all iterations, going on from the stage's latest checkpoint. Collective over the policy's
// mesh. Throws Error (interrupted) after saving when SIGTERM or SIGINT came.
PpoResult run_ppo(const PpoParts& parts, const PpoConfig& config);

}  // namespace tandem::rl
