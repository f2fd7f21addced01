#include "launcher/stages/text_noise.h"

#include "data/noise/infilling.h"
#include "data/noise/masking.h"
#include "data/noise/span_corruption.h"

namespace tandem::launcher {

std::unique_ptr<data::Noise> make_noise(models::TextObjective objective,
                                        const data::NoiseConfig& config,
                                        data::NoiseVocabulary vocabulary,
                                        data::TokenId decoder_start) {
  switch (objective) {
    case models::TextObjective::kCausal:
      return nullptr;
    case models::TextObjective::kMasked:
      return std::make_unique<data::Masking>(std::move(vocabulary), config);
    case models::TextObjective::kSpanCorruption:
      return std::make_unique<data::SpanCorruption>(std::move(vocabulary), config, decoder_start);
    case models::TextObjective::kInfilling:
      return std::make_unique<data::Infilling>(std::move(vocabulary), config, decoder_start);
  }
  return nullptr;
}

}  // namespace tandem::launcher
