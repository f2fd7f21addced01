#include "rl/policy.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "data/batch.h"
#include "train/objectives.h"

namespace tandem::rl {

using parallel::ReduceOp;

namespace {

// Response tokens are the targets, in the order of `samples`.
data::Batch pack(const std::vector<Rollout>& rollouts, const std::vector<std::int64_t>& samples) {
  data::BatchBuilder builder;
  for (const std::int64_t i : samples) {
    const Rollout& rollout = rollouts[static_cast<std::size_t>(i)];
    builder.add_completion(rollout.tokens(), static_cast<std::int64_t>(rollout.prompt.size()), i);
  }
  return builder.take();
}

void assign(std::vector<Rollout>& rollouts, const std::vector<std::int64_t>& samples,
            const std::vector<float>& log_probs) {
  auto next = log_probs.begin();
  for (const std::int64_t i : samples) {
    Rollout& rollout = rollouts[static_cast<std::size_t>(i)];
    const auto end = next + static_cast<std::ptrdiff_t>(rollout.response.size());
    rollout.log_probs.assign(next, end);
    next = end;
  }
}

std::string to_bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

std::vector<float> floats_from(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

std::vector<std::vector<std::int64_t>> micro_batches(const std::vector<std::int64_t>& samples,
                                                     std::int64_t size) {
  std::vector<std::vector<std::int64_t>> groups;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (i % static_cast<std::size_t>(size) == 0) groups.emplace_back();
    groups.back().push_back(samples[i]);
  }
  return groups;
}

std::vector<Rollout> sample_rollouts(models::Model& model, const parallel::Mesh& mesh,
                                     const std::vector<std::vector<std::int32_t>>& prompts,
                                     std::int64_t first_id,
                                     const models::GenerateOptions& options) {
  std::vector<std::int64_t> ids(prompts.size());
  std::iota(ids.begin(), ids.end(), first_id);
  std::vector<models::Generated> generated = models::generate(model, prompts, ids, options);
  std::vector<Rollout> own(prompts.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    own[i].id = ids[i];
    own[i].prompt = prompts[i];
    own[i].response = std::move(generated[i].tokens);
    own[i].log_probs = std::move(generated[i].log_probs);
    own[i].ended_with_eos = generated[i].ended_with_eos;
  }
  if (mesh.dp.size() == 1) return own;
  std::vector<Rollout> all;
  for (const std::string& part : mesh.dp.all_gather_strings(pack_rollouts(own), "rollouts"))
    for (Rollout& rollout : unpack_rollouts(part)) all.push_back(std::move(rollout));
  return all;
}

void refresh_log_probs(models::Model& model, const parallel::Mesh& mesh,
                       std::vector<Rollout>& rollouts, const std::vector<Minibatch>& plan,
                       std::int64_t micro_batch_size, float temperature) {
  std::vector<float> own;
  for (const Minibatch& minibatch : plan) {
    if (minibatch.epoch != 0) continue;
    for (const auto& group :
         micro_batches(minibatch.slice(mesh.dp.rank(), mesh.dp.size()), micro_batch_size)) {
      const auto result = train::with_log_probs(model, pack(rollouts, group), temperature);
      own.insert(own.end(), result.log_probs.begin(), result.log_probs.end());
    }
  }
  const auto parts = mesh.dp.all_gather_strings(to_bytes(own), "log-probabilities");
  for (int rank = 0; rank < mesh.dp.size(); ++rank) {
    std::vector<std::int64_t> order;
    for (const Minibatch& minibatch : plan)
      if (minibatch.epoch == 0)
        for (const std::int64_t sample : minibatch.slice(rank, mesh.dp.size()))
          order.push_back(sample);
    assign(rollouts, order, floats_from(parts[static_cast<std::size_t>(rank)]));
  }
}

PolicyUpdate update_policy(train::Engine& engine, const std::vector<Rollout>& rollouts,
                           const Experience& experience, const Minibatch& minibatch,
                           std::int64_t micro_batch_size, float temperature,
                           const PolicyLossOptions& options, double learning_rate,
                           double clip_grad_norm) {
  const parallel::Mesh& mesh = engine.mesh();
  const double tokens = token_count(rollouts, minibatch.samples);
  const auto groups =
      micro_batches(minibatch.slice(mesh.dp.rank(), mesh.dp.size()), micro_batch_size);
  PolicyUpdate update;
  const auto micro_batch = [&](std::int64_t index) {
    const auto& samples = groups[static_cast<std::size_t>(index)];
    const PolicyBatch old = policy_batch(rollouts, experience, samples);
    train::with_log_probs(
        engine.model(), pack(rollouts, samples), temperature, [&](const train::TokenLogProbs& now) {
          PolicyLoss loss =
              policy_loss(now.log_probs, old.old_log_probs, old.advantages, tokens, options);
          update.loss.loss += loss.loss;
          update.loss.approx_kl += loss.approx_kl;
          update.loss.clip_fraction += loss.clip_fraction;
          update.loss.mean_ratio += loss.mean_ratio;
          update.loss.max_log_ratio = std::max(update.loss.max_log_ratio, loss.max_log_ratio);
          update.entropy +=
              std::accumulate(now.entropies.begin(), now.entropies.end(), 0.0) / tokens;
          return std::move(loss.dlog_probs);
        });
  };
  update.grad_norm = engine
                         .step(static_cast<std::int64_t>(groups.size()), micro_batch, learning_rate,
                               clip_grad_norm)
                         .grad_norm;
  for (double* share : {&update.loss.loss, &update.loss.approx_kl, &update.loss.clip_fraction,
                        &update.loss.mean_ratio, &update.entropy})
    *share = mesh.dp.all_reduce_scalar(*share, ReduceOp::kSum, "policy update");
  update.loss.max_log_ratio =
      mesh.dp.all_reduce_scalar(update.loss.max_log_ratio, ReduceOp::kMax, "policy update");
  return update;
}

}  // namespace tandem::rl
