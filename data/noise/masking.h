// Masked language modelling (Devlin et al. 2018): of the tokens chosen, 80 % become the mask token,
// 10 % a random one, 10 % stay; all of them are to be found out.
#pragma once

#include "data/noise/noise.h"

namespace tandem::data {

class Masking final : public Noise {
 public:
  // Throws Error when the vocabulary has no mask token.
  Masking(NoiseVocabulary vocabulary, const NoiseConfig& config);

  // Each word (whole_words) or token is chosen with probability `density`, and at least one of a
  // sequence; special tokens never are.
  void append(std::span<const TokenId> tokens, Draws& draws, std::int64_t record,
              BatchBuilder& batch) const override;

 private:
  NoiseVocabulary vocabulary_;
  double density_;
  bool whole_words_;
};

}  // namespace tandem::data
