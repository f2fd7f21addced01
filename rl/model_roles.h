// The roles beside the policy, each on a model of this process and its mesh (which may span ranks:
// role_group.h).
#pragma once

#include <filesystem>
#include <memory>

#include "data/batch.h"
#include "data/tokenizer/tokenizer.h"
#include "rl/role_group.h"
#include "rl/roles.h"
#include "train/engine.h"

namespace tandem::rl {

// Sequences are packed up to this many tokens per forward, so that memory does not grow with the
// request.
inline constexpr std::int64_t kRoleBatchTokens = 4096;

class ModelReference final : public ReferenceRole {
 public:
  // The model may be the policy's: an adapter in it is left out.
  ModelReference(std::shared_ptr<models::Model> model, parallel::Mesh mesh, RoleGroup& group);
  Pending<TokenValues> log_probs(const SequenceBatch& batch, double temperature) override;

 private:
  std::shared_ptr<models::Model> model_;
  parallel::Mesh mesh_;
  RoleGroup& group_;
};

class ModelReward final : public RewardRole {
 public:
  ModelReward(std::unique_ptr<models::Model> model, parallel::Mesh mesh, RoleGroup& group);
  Pending<std::vector<float>> score(const SequenceBatch& batch) override;

 private:
  std::unique_ptr<models::Model> model_;
  parallel::Mesh mesh_;
  RoleGroup& group_;
};

class ModelCritic final : public CriticRole {
 public:
  // engine's clipping is not used: requests carry their own. tokenizer may be null (then
  // checkpoints carry none).
  ModelCritic(std::unique_ptr<train::Engine> engine, std::int64_t micro_batch_size,
              const data::Tokenizer* tokenizer, RoleGroup& group);
  Pending<TokenValues> values(const SequenceBatch& batch) override;
  Pending<CriticStats> train(const CriticTrainRequest& request) override;
  Pending<std::int64_t> save(const std::string& directory) override;
  Pending<std::int64_t> load(const std::string& directory) override;

 private:
  CriticStats train_step(const CriticTrainRequest& request);
  std::int64_t save_to(const std::filesystem::path& folder);
  std::int64_t load_from(const std::filesystem::path& folder);

  std::unique_ptr<train::Engine> engine_;
  std::int64_t micro_batch_size_;
  const data::Tokenizer* tokenizer_;
  RoleGroup& group_;
};

// Packs sequences so that the response tokens are the targets.
data::Batch response_batch(const SequenceBatch& batch, std::span<const std::size_t> sequences);

}  // namespace tandem::rl
