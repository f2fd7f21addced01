// Text infilling and sentence permutation (BART; Lewis et al. 2019): the encoder reads a text whose
// sentences are out of order and whose spans, of lengths from a Poisson distribution, are each
// replaced by one mask token; a span of length 0 is a mask put where nothing is missing. The
// decoder writes the whole text.
#pragma once

#include "data/noise/noise.h"

namespace tandem::data {

class Infilling final : public Noise {
 public:
  // Throws Error when the vocabulary has no mask token.
  Infilling(NoiseVocabulary vocabulary, const NoiseConfig& config, TokenId decoder_start);

  // ceil(density × tokens) tokens are hidden in spans that do not touch. Special tokens at both
  // ends stay where they are. What the encoder reads is never longer than the text.
  void append(std::span<const TokenId> tokens, Draws& draws, std::int64_t record,
              BatchBuilder& batch) const override;

 private:
  std::vector<TokenId> permuted(std::span<const TokenId> tokens, Draws& draws) const;
  std::vector<std::int64_t> span_lengths(std::int64_t hidden, std::int64_t kept,
                                         Draws& draws) const;

  NoiseVocabulary vocabulary_;
  double density_;
  double mean_span_length_;
  bool permute_sentences_;
  TokenId decoder_start_;
};

}  // namespace tandem::data
