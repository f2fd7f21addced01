// Roles whose answers follow from the request alone, so that a direct call and one over the network
// can be compared bit by bit; they note the calls that they get.
#pragma once

#include <cmath>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "rl/roles.h"

namespace tandem::test {

class Notes {
 public:
  void add(std::string call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
  }
  std::vector<std::string> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> calls_;
};

// `extra` numbers more than the response has tokens.
inline rl::TokenValues numbers_of(const rl::SequenceBatch& batch, double scale, std::size_t extra) {
  rl::TokenValues rows;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    std::vector<float> row;
    for (std::size_t k = 0; k < batch.response_length(i) + extra; ++k)
      row.push_back(static_cast<float>(std::sin(scale * static_cast<double>(k + 1)) *
                                       (batch.tokens[i].front() + 0.1)));
    rows.push_back(std::move(row));
  }
  return rows;
}

// Called first in every call of a role; may throw or take its time.
using Before = std::function<void()>;

class ArithmeticReference final : public rl::ReferenceRole {
 public:
  Before before = [] {};
  Notes notes;

  rl::Pending<rl::TokenValues> log_probs(const rl::SequenceBatch& batch,
                                         double temperature) override {
    notes.add("log_probs");
    before();
    return rl::Pending<rl::TokenValues>::ready(numbers_of(batch, temperature, 0));
  }
};

class ArithmeticReward final : public rl::RewardRole {
 public:
  Before before = [] {};
  Notes notes;

  rl::Pending<std::vector<float>> score(const rl::SequenceBatch& batch) override {
    notes.add("score");
    before();
    std::vector<float> scores;
    for (const auto& tokens : batch.tokens)
      scores.push_back(static_cast<float>(tokens.back()) / static_cast<float>(tokens.size()));
    return rl::Pending<std::vector<float>>::ready(scores);
  }
};

class ArithmeticCritic final : public rl::CriticRole {
 public:
  Before before = [] {};
  Notes notes;

  rl::Pending<rl::TokenValues> values(const rl::SequenceBatch& batch) override {
    notes.add("values of " + std::to_string(batch.size()));
    before();
    return rl::Pending<rl::TokenValues>::ready(numbers_of(batch, 0.5, 1));
  }
  // Every field of the request shows in the answer.
  rl::Pending<rl::CriticStats> train(const rl::CriticTrainRequest& request) override {
    notes.add("train " + std::to_string(request.step));
    before();
    double sum = 0;
    for (const auto* rows : {&request.returns, &request.old_values})
      for (const auto& row : *rows)
        for (const float value : row) sum = 1.25 * sum + value;
    return rl::Pending<rl::CriticStats>::ready(
        {.loss = sum + static_cast<double>(request.batch.size()),
         .clip_fraction = request.value_clip + 10 * request.loss_coefficient,
         .grad_norm = request.learning_rate + 10 * request.max_grad_norm});
  }
  rl::Pending<std::int64_t> save(const std::string& directory) override {
    notes.add("save " + directory);
    before();
    return rl::Pending<std::int64_t>::ready(std::int64_t{1} << 40);
  }
  rl::Pending<std::int64_t> load(const std::string& directory) override {
    notes.add("load " + directory);
    before();
    return rl::Pending<std::int64_t>::ready(7);
  }
};

// `count` sequences of different lengths, about `tokens` tokens each.
inline rl::SequenceBatch some_batch(std::size_t count, std::size_t tokens, std::int32_t first = 3) {
  rl::SequenceBatch batch;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t length = tokens + i % 5;
    std::vector<std::int32_t> sequence(length);
    for (std::size_t k = 0; k < length; ++k)
      sequence[k] = first + static_cast<std::int32_t>((i * 31 + k * 7) % 50000);
    batch.prompt_lengths.push_back(1 + static_cast<std::int32_t>((i * 3) % (length - 1)));
    batch.tokens.push_back(std::move(sequence));
  }
  return batch;
}

}  // namespace tandem::test
