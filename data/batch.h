// What a model is given: sequences one after the other, without padding ("token-packed"). Attention
// stays inside a sequence by cu_seqlens; positions restart in each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/token_range.h"
#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// Token-packed sequences, or a rank's part of them (context_part.h): chunks of those sequences.
struct PackedTexts {
  std::vector<TokenId> tokens;          // [tokens]
  std::vector<std::int32_t> positions;  // [tokens], from 0 in each sequence
  // [sequences + 1]: 0, …, tokens; of a part: [chunks + 1].
  std::vector<std::int32_t> cu_seqlens = {0};
  // Of a part, the borders of the whole sequences, and by chunk the sequence that it is of; else
  // empty.
  std::vector<std::int32_t> whole_cu_seqlens = {};
  std::vector<std::int32_t> chunk_sequences = {};

  bool is_part() const { return !whole_cu_seqlens.empty(); }
  // Of whole sequences.
  const std::vector<std::int32_t>& borders() const {
    return is_part() ? whole_cu_seqlens : cu_seqlens;
  }
  std::int64_t sequence_length(std::int64_t sequence) const {
    return borders()[sequence + 1] - borders()[sequence];
  }
  // The sequence that this rank's tokens [cu_seqlens[chunk], cu_seqlens[chunk + 1]) are of.
  std::int32_t sequence_of(std::size_t chunk) const {
    return is_part() ? chunk_sequences[chunk] : static_cast<std::int32_t>(chunk);
  }
  std::size_t chunk_count() const { return cu_seqlens.size() - 1; }
};

struct Batch : PackedTexts {
  std::vector<TokenId> targets;  // [tokens]: the token to predict, kNoToken where there is none
  std::vector<float> weights;    // [tokens]: 0 where there is no target
  std::vector<std::int64_t>
      records;                 // [sequences]: the record of the data set that a sequence came from
  PackedTexts encoder;         // of encoder-decoders: as many sequences as the others; else none
  std::vector<float> margins;  // [pairs]: of preference batches only, one per pair
  // Of labelled texts only, sequence by sequence: the label's number, or a value for each label.
  std::vector<float> labels;

  std::int64_t token_count() const { return static_cast<std::int64_t>(tokens.size()); }
  // What the model reads in all: the encoder's tokens too.
  std::int64_t read_count() const {
    return token_count() + static_cast<std::int64_t>(encoder.tokens.size());
  }
  // Whole ones, also of a part.
  std::int64_t sequence_count() const { return static_cast<std::int64_t>(records.size()); }
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
  // The tokens of these parts are predicted, with weight 1; a sequence's first token never is.
  void add_parts(std::span<const TokenId> tokens, std::span<const TokenRange> predicted,
                 std::int64_t record);
  // For encoder-decoders: the encoder reads `text`, and the decoder, which begins with `start`, is
  // to write all of `targets`.
  void add_pair(std::span<const TokenId> text, std::span<const TokenId> targets, TokenId start,
                std::int64_t record);
  // No targets at all.
  void add_prompt(std::span<const TokenId> tokens, std::int64_t record);
  void add_margin(float margin) { batch_.margins.push_back(margin); }
  void add_labels(std::span<const float> labels) {
    batch_.labels.insert(batch_.labels.end(), labels.begin(), labels.end());
  }

  const Batch& batch() const { return batch_; }
  // The batch; the builder is empty again.
  Batch take();

 private:
  void open_sequence(std::span<const TokenId> tokens, std::int64_t record);

  Batch batch_;
};

}  // namespace tandem::data
