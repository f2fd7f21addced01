#include "rl/model_roles.h"

#include <nlohmann/json.hpp>

#include "data/sampler.h"
#include "rl/objectives.h"
#include "runtime/io/atomic_file.h"
#include "train/checkpoint.h"
#include "train/objectives.h"

namespace tandem::rl {

using nlohmann::json;

namespace {

// Requests travel between the ranks of one role as MessagePack: exact for fp32 and int32.
std::string encode(const json& value) {
  const std::vector<std::uint8_t> bytes = json::to_msgpack(value);
  return {bytes.begin(), bytes.end()};
}
json decode(const std::string& bytes) {
  return json::from_msgpack(bytes);
}

json to_json(const SequenceBatch& batch) {
  return {{"tokens", batch.tokens}, {"prompt_lengths", batch.prompt_lengths}};
}

SequenceBatch sequence_batch_from(const json& value) {
  SequenceBatch batch;
  value.at("tokens").get_to(batch.tokens);
  value.at("prompt_lengths").get_to(batch.prompt_lengths);
  return batch;
}

// Consecutive sequences of at most kRoleBatchTokens tokens together (or one that is longer).
std::vector<std::vector<std::size_t>> chunks_by_tokens(const SequenceBatch& batch,
                                                       std::size_t begin, std::size_t end) {
  std::vector<std::vector<std::size_t>> chunks;
  std::int64_t tokens = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const auto length = static_cast<std::int64_t>(batch.tokens[i].size());
    if (chunks.empty() || tokens + length > kRoleBatchTokens) {
      chunks.emplace_back();
      tokens = 0;
    }
    chunks.back().push_back(i);
    tokens += length;
  }
  return chunks;
}

// Runs `work(chunk)` on this replica's sequences; it returns one row of numbers per sequence. All
// rows, in the order of the batch, on every rank.
TokenValues over_replicas(const parallel::Mesh& mesh, const SequenceBatch& batch,
                          const std::function<TokenValues(const std::vector<std::size_t>&)>& work) {
  const data::IndexRange range =
      data::shard_range(static_cast<std::int64_t>(batch.size()), mesh.dp.rank(), mesh.dp.size());
  TokenValues own;
  for (const auto& chunk : chunks_by_tokens(batch, static_cast<std::size_t>(range.begin),
                                            static_cast<std::size_t>(range.end)))
    for (auto& row : work(chunk)) own.push_back(std::move(row));
  if (mesh.dp.size() == 1) return own;
  TokenValues all;
  for (const std::string& part : mesh.dp.all_gather_strings(encode(own), "role results"))
    for (auto& row : decode(part).get<TokenValues>()) all.push_back(std::move(row));
  return all;
}

// Rows of the packed batch at which the value of each step of each sequence is read: prompt − 1 …
// prompt + response − 1.
std::vector<std::int32_t> value_rows(const data::Batch& packed, const SequenceBatch& batch,
                                     const std::vector<std::size_t>& sequences) {
  std::vector<std::int32_t> rows;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const std::int32_t first = packed.cu_seqlens[s] + batch.prompt_lengths[sequences[s]] - 1;
    for (std::int32_t row = first; row < packed.cu_seqlens[s + 1]; ++row) rows.push_back(row);
  }
  return rows;
}

}  // namespace

data::Batch response_batch(const SequenceBatch& batch, std::span<const std::size_t> sequences) {
  data::BatchBuilder builder;
  for (const std::size_t i : sequences)
    builder.add_completion(batch.tokens[i], batch.prompt_lengths[i], static_cast<std::int64_t>(i));
  return builder.take();
}

// ---- reference

ModelReference::ModelReference(std::shared_ptr<models::Model> model, parallel::Mesh mesh,
                               RoleGroup& group)
    : model_(std::move(model)), mesh_(std::move(mesh)), group_(group) {
  group_.handle("reference/log_probs", [this](const std::string& bytes) {
    const json request = decode(bytes);
    const SequenceBatch batch = sequence_batch_from(request.at("batch"));
    const auto temperature = request.at("temperature").get<float>();
    const models::WithoutAdapter frozen(model_->adapter());
    return encode(over_replicas(mesh_, batch, [&](const std::vector<std::size_t>& chunk) {
      const auto result = train::with_log_probs(*model_, response_batch(batch, chunk), temperature);
      TokenValues rows;
      auto next = result.log_probs.begin();
      for (const std::size_t i : chunk) {
        const auto length = static_cast<std::ptrdiff_t>(batch.response_length(i));
        rows.emplace_back(next, next + length);
        next += length;
      }
      return rows;
    }));
  });
}

Pending<TokenValues> ModelReference::log_probs(const SequenceBatch& batch, double temperature) {
  batch.validate();
  const std::string answer = group_.call(
      "reference/log_probs", encode({{"batch", to_json(batch)}, {"temperature", temperature}}));
  return Pending<TokenValues>::ready(decode(answer).get<TokenValues>());
}

// ---- reward

ModelReward::ModelReward(std::unique_ptr<models::Model> model, parallel::Mesh mesh,
                         RoleGroup& group)
    : model_(std::move(model)), mesh_(std::move(mesh)), group_(group) {
  group_.handle("reward/score", [this](const std::string& bytes) {
    const SequenceBatch batch = sequence_batch_from(decode(bytes));
    return encode(over_replicas(mesh_, batch, [&](const std::vector<std::size_t>& chunk) {
      const data::Batch packed = response_batch(batch, chunk);
      TokenValues rows;
      for (const float score : train::with_scores(*model_, packed, train::last_token_rows(packed)))
        rows.push_back({score});
      return rows;
    }));
  });
}

Pending<std::vector<float>> ModelReward::score(const SequenceBatch& batch) {
  batch.validate();
  std::vector<float> scores;
  for (const auto& row :
       decode(group_.call("reward/score", encode(to_json(batch)))).get<TokenValues>())
    scores.push_back(row.front());
  return Pending<std::vector<float>>::ready(std::move(scores));
}

// ---- critic

namespace {

json to_json(const CriticTrainRequest& request) {
  return {{"batch", to_json(request.batch)},
          {"returns", request.returns},
          {"old_values", request.old_values},
          {"value_clip", request.value_clip},
          {"loss_coefficient", request.loss_coefficient},
          {"learning_rate", request.learning_rate},
          {"max_grad_norm", request.max_grad_norm},
          {"step", request.step}};
}

CriticTrainRequest train_request_from(const json& value) {
  CriticTrainRequest request;
  request.batch = sequence_batch_from(value.at("batch"));
  value.at("returns").get_to(request.returns);
  value.at("old_values").get_to(request.old_values);
  value.at("value_clip").get_to(request.value_clip);
  value.at("loss_coefficient").get_to(request.loss_coefficient);
  value.at("learning_rate").get_to(request.learning_rate);
  value.at("max_grad_norm").get_to(request.max_grad_norm);
  value.at("step").get_to(request.step);
  return request;
}

}  // namespace

ModelCritic::ModelCritic(std::unique_ptr<train::Engine> engine, std::int64_t micro_batch_size,
                         const data::Tokenizer* tokenizer, RoleGroup& group)
    : engine_(std::move(engine)),
      micro_batch_size_(micro_batch_size),
      tokenizer_(tokenizer),
      group_(group) {
  group_.handle("critic/values", [this](const std::string& bytes) {
    const SequenceBatch batch = sequence_batch_from(decode(bytes));
    return encode(over_replicas(engine_->mesh(), batch, [&](const std::vector<std::size_t>& chunk) {
      const data::Batch packed = response_batch(batch, chunk);
      const auto values =
          train::with_scores(engine_->model(), packed, value_rows(packed, batch, chunk));
      TokenValues rows;
      auto next = values.begin();
      for (const std::size_t i : chunk) {
        const auto steps = static_cast<std::ptrdiff_t>(batch.response_length(i)) + 1;
        rows.emplace_back(next, next + steps);
        next += steps;
      }
      return rows;
    }));
  });
  group_.handle("critic/train", [this](const std::string& bytes) {
    const CriticStats stats = train_step(train_request_from(decode(bytes)));
    return encode({stats.loss, stats.clip_fraction, stats.grad_norm});
  });
  group_.handle("critic/save",
                [this](const std::string& folder) { return std::to_string(save_to(folder)); });
  group_.handle("critic/load",
                [this](const std::string& folder) { return std::to_string(load_from(folder)); });
}

Pending<TokenValues> ModelCritic::values(const SequenceBatch& batch) {
  batch.validate();
  return Pending<TokenValues>::ready(
      decode(group_.call("critic/values", encode(to_json(batch)))).get<TokenValues>());
}

Pending<CriticStats> ModelCritic::train(const CriticTrainRequest& request) {
  request.validate();
  const auto numbers =
      decode(group_.call("critic/train", encode(to_json(request)))).get<std::vector<double>>();
  return Pending<CriticStats>::ready({numbers[0], numbers[1], numbers[2]});
}

Pending<std::int64_t> ModelCritic::save(const std::string& directory) {
  return Pending<std::int64_t>::ready(std::stoll(group_.call("critic/save", directory)));
}

Pending<std::int64_t> ModelCritic::load(const std::string& directory) {
  return Pending<std::int64_t>::ready(std::stoll(group_.call("critic/load", directory)));
}

CriticStats ModelCritic::train_step(const CriticTrainRequest& request) {
  if (request.step != engine_->steps())
    runtime::throw_environment_error(
        "the critic has made {} updates, the policy expects {}; both must resume from the same "
        "checkpoint",
        engine_->steps(), request.step);
  double global_steps = 0;
  for (const auto& returns : request.returns) global_steps += static_cast<double>(returns.size());
  const parallel::Mesh& mesh = engine_->mesh();
  const data::IndexRange range = data::shard_range(static_cast<std::int64_t>(request.batch.size()),
                                                   mesh.dp.rank(), mesh.dp.size());
  std::vector<std::vector<std::size_t>> micro_batches;
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    if ((i - range.begin) % micro_batch_size_ == 0) micro_batches.emplace_back();
    micro_batches.back().push_back(static_cast<std::size_t>(i));
  }
  const std::optional<double> clip =
      request.value_clip < 0 ? std::nullopt : std::optional(request.value_clip);
  std::vector<double> shares(2, 0.0);
  const auto micro_batch = [&](std::int64_t index) {
    const auto& sequences = micro_batches[static_cast<std::size_t>(index)];
    const data::Batch packed = response_batch(request.batch, sequences);
    std::vector<std::int32_t> rows;
    std::vector<float> old_values, returns;
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      const std::size_t i = sequences[s];
      const std::int32_t first = packed.cu_seqlens[s] + request.batch.prompt_lengths[i] - 1;
      for (std::size_t t = 0; t < request.returns[i].size(); ++t) {
        rows.push_back(first + static_cast<std::int32_t>(t));
        old_values.push_back(request.old_values[i][t]);
        returns.push_back(request.returns[i][t]);
      }
    }
    train::with_scores(engine_->model(), packed, rows, [&](const std::vector<float>& values) {
      ValueLoss loss = value_loss(values, old_values, returns, global_steps, clip);
      shares[0] += loss.loss;
      shares[1] += loss.clip_fraction;
      for (float& gradient : loss.dvalues) gradient *= static_cast<float>(request.loss_coefficient);
      return loss.dvalues;
    });
  };
  const train::StepStats step =
      engine_->step(static_cast<std::int64_t>(micro_batches.size()), micro_batch,
                    request.learning_rate, request.max_grad_norm);
  CriticStats stats{.grad_norm = step.grad_norm};
  stats.loss = mesh.dp.all_reduce_scalar(shares[0], parallel::ReduceOp::kSum, "critic loss");
  stats.clip_fraction =
      mesh.dp.all_reduce_scalar(shares[1], parallel::ReduceOp::kSum, "critic clip fraction");
  return stats;
}

namespace {

// The critic's own state is its number of updates and, in fp16, its loss scale; the policy's
// checkpoint holds everything else.
train::StateRegistry critic_state(train::Engine& engine) {
  train::StateRegistry state;
  state.add(
      "updates", [&engine] { return std::to_string(engine.optimizer().steps()); },
      [&engine](std::string_view text) {
        engine.optimizer().set_steps(std::stoll(std::string(text)));
      });
  engine.register_state(state);
  return state;
}

}  // namespace

std::int64_t ModelCritic::save_to(const std::filesystem::path& folder) {
  train::StateRegistry state = critic_state(*engine_);
  train::save_checkpoint_folder({engine_.get(), &state, tokenizer_}, folder);
  return engine_->steps();
}

std::int64_t ModelCritic::load_from(const std::filesystem::path& folder) {
  train::StateRegistry state = critic_state(*engine_);
  train::load_checkpoint({engine_.get(), &state, tokenizer_}, folder);
  return engine_->steps();
}

}  // namespace tandem::rl
