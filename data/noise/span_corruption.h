// Span corruption (Raffel et al. 2020): spans of the text are each replaced by a sentinel, and the
// decoder writes, for each sentinel, what stood there.
//
//   Thank you <extra_id_0> me to your party <extra_id_1> week </s>
//   <extra_id_0> for inviting <extra_id_1> last </s>
#pragma once

#include "data/noise/noise.h"

namespace tandem::data {

class SpanCorruption final : public Noise {
 public:
  // `decoder_start` is the token that the decoder starts with. Throws Error when the vocabulary has
  // no sentinels.
  SpanCorruption(NoiseVocabulary vocabulary, const NoiseConfig& config, TokenId decoder_start);

  // round(density × tokens) tokens are hidden in round(hidden / mean_span_length) spans; kept and
  // hidden spans alternate, beginning with a kept one. As in T5's own random_spans_noise_mask,
  // every division into spans is as likely as any other. Both texts end with eos.
  void append(std::span<const TokenId> tokens, Draws& draws, std::int64_t record,
              BatchBuilder& batch) const override;

 private:
  NoiseVocabulary vocabulary_;
  double density_;
  double mean_span_length_;
  TokenId decoder_start_;
};

}  // namespace tandem::data
