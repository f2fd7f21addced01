#include "data/batch.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/base/error.h"

namespace tandem::data {

std::int64_t Batch::max_sequence_length() const {
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < sequence_count(); ++i)
    longest = std::max(longest, sequence_length(i));
  return longest;
}

std::int64_t Batch::target_count() const {
  return static_cast<std::int64_t>(targets.size()) -
         std::count(targets.begin(), targets.end(), kNoToken);
}

void BatchBuilder::open_sequence(std::span<const TokenId> tokens, std::int64_t record) {
  TANDEM_CHECK(!tokens.empty(), "an empty sequence (record {})", record);
  TANDEM_CHECK(batch_.tokens.size() + tokens.size() <= std::numeric_limits<std::int32_t>::max(),
               "more than 2^31 tokens in a batch");
  batch_.tokens.insert(batch_.tokens.end(), tokens.begin(), tokens.end());
  for (std::size_t i = 0; i < tokens.size(); ++i)
    batch_.positions.push_back(static_cast<std::int32_t>(i));
  batch_.cu_seqlens.push_back(static_cast<std::int32_t>(batch_.tokens.size()));
  batch_.records.push_back(record);
}

void BatchBuilder::add_sequence(std::span<const TokenId> tokens, std::span<const TokenId> targets,
                                std::span<const float> weights, std::int64_t record) {
  TANDEM_CHECK(targets.size() == tokens.size() && weights.size() == tokens.size(),
               "{} tokens, {} targets, {} weights", tokens.size(), targets.size(), weights.size());
  open_sequence(tokens, record);
  batch_.targets.insert(batch_.targets.end(), targets.begin(), targets.end());
  batch_.weights.insert(batch_.weights.end(), weights.begin(), weights.end());
}

void BatchBuilder::add_completion(std::span<const TokenId> tokens, std::int64_t prompt_length,
                                  std::int64_t record, TokenId next) {
  open_sequence(tokens, record);
  const auto length = static_cast<std::int64_t>(tokens.size());
  for (std::int64_t i = 0; i < length; ++i) {
    const TokenId following = i + 1 < length ? tokens[i + 1] : next;
    const TokenId target = i + 1 >= prompt_length ? following : kNoToken;
    batch_.targets.push_back(target);
    batch_.weights.push_back(target == kNoToken ? 0.0f : 1.0f);
  }
}

void BatchBuilder::add_parts(std::span<const TokenId> tokens, std::span<const TokenRange> predicted,
                             std::int64_t record) {
  const auto length = static_cast<std::int32_t>(tokens.size());
  std::vector<TokenId> targets(tokens.size(), kNoToken);
  std::vector<float> weights(tokens.size(), 0.0f);
  for (const TokenRange& part : predicted) {
    TANDEM_CHECK(part.begin >= 0 && part.begin <= part.end && part.end <= length,
                 "tokens [{}, {}) of {}", part.begin, part.end, length);
    for (std::int32_t i = std::max(part.begin, 1); i < part.end; ++i) {
      targets[i - 1] = tokens[i];
      weights[i - 1] = 1.0f;
    }
  }
  add_sequence(tokens, targets, weights, record);
}

void BatchBuilder::add_pair(std::span<const TokenId> text, std::span<const TokenId> targets,
                            TokenId start, std::int64_t record) {
  TANDEM_CHECK(!text.empty(), "an empty text for the encoder (record {})", record);
  PackedTexts& encoder = batch_.encoder;
  encoder.tokens.insert(encoder.tokens.end(), text.begin(), text.end());
  for (std::size_t i = 0; i < text.size(); ++i)
    encoder.positions.push_back(static_cast<std::int32_t>(i));
  encoder.cu_seqlens.push_back(static_cast<std::int32_t>(encoder.tokens.size()));
  std::vector<TokenId> shifted{start};
  shifted.insert(shifted.end(), targets.begin(), targets.end() - 1);
  add_sequence(shifted, targets, std::vector<float>(targets.size(), 1.0f), record);
}

void BatchBuilder::add_prompt(std::span<const TokenId> tokens, std::int64_t record) {
  open_sequence(tokens, record);
  batch_.targets.resize(batch_.tokens.size(), kNoToken);
  batch_.weights.resize(batch_.tokens.size(), 0.0f);
}

Batch BatchBuilder::take() {
  return std::exchange(batch_, {});
}

}  // namespace tandem::data
