// What a model is given: sequences one after the other, without padding ("token-packed"). Attention
// stays inside a sequence by cu_seqlens; positions restart in each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// Texts that an encoder reads, token-packed.
struct EncoderTexts {
  std::vector<TokenId> tokens;                 // [tokens]
  std::vector<std::int32_t> positions;         // [tokens], from 0 in each sequence
  std::vector<std::int32_t> cu_seqlens = {0};  // [sequences + 1]
};

struct Batch {
  std::vector<TokenId> tokens;                 // [tokens]
  std::vector<std::int32_t> positions;         // [tokens], from 0 in each sequence
  std::vector<std::int32_t> cu_seqlens = {0};  // [sequences + 1]: 0, …, tokens
  std::vector<TokenId> targets;  // [tokens]: the token to predict, kNoToken where there is none
  std::vector<float> weights;    // [tokens]: 0 where there is no target
  std::vector<std::int64_t>
      records;           // [sequences]: the record of the data set that a sequence came from
  EncoderTexts encoder;  // of encoder-decoders: as many sequences as the others; else none
  // Of a rank's part of a batch (context_part.h): the borders of the whole sequences, of which
  // those above are chunks; else empty.
  std::vector<std::int32_t> whole_cu_seqlens = {};
  std::vector<float> margins;  // [pairs]: of preference batches only, one per pair

  std::int64_t token_count() const { return static_cast<std::int64_t>(tokens.size()); }
  // What the model reads in all: the encoder's tokens too.
  std::int64_t read_count() const {
    return token_count() + static_cast<std::int64_t>(encoder.tokens.size());
  }
  std::int64_t sequence_count() const { return static_cast<std::int64_t>(records.size()); }
  std::int64_t sequence_length(std::int64_t sequence) const {
    return cu_seqlens[sequence + 1] - cu_seqlens[sequence];
  }
  std::int64_t max_sequence_length() const;
  // Positions with a target.
  std::int64_t target_count() const;
};

// Concatenates sequences into a batch.
class BatchBuilder {
 public:
  // The general form: targets and weights are [tokens.size()].
  void add_sequence(std::span<const TokenId> tokens, std::span<const TokenId> targets,
                    std::span<const float> weights, std::int64_t record);
  // Every token is predicted from those before it, except the first `prompt_length` ones (at least
  // the first token of a sequence has nothing before it). Weights are 1. `next` is the target of
  // the last token.
  void add_completion(std::span<const TokenId> tokens, std::int64_t prompt_length,
                      std::int64_t record, TokenId next = kNoToken);
  // For encoder-decoders: the encoder reads `text`, and the decoder, which begins with `start`, is
  // to write all of `targets`.
  void add_pair(std::span<const TokenId> text, std::span<const TokenId> targets, TokenId start,
                std::int64_t record);
  // No targets at all.
  void add_prompt(std::span<const TokenId> tokens, std::int64_t record);
  void add_margin(float margin) { batch_.margins.push_back(margin); }

  const Batch& batch() const { return batch_; }
  // The batch; the builder is empty again.
  Batch take();

 private:
  void open_sequence(std::span<const TokenId> tokens, std::int64_t record);

  Batch batch_;
};

}  // namespace tandem::data
