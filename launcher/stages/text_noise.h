// The noise that a pretraining objective puts into texts.
#pragma once

#include <memory>

#include "data/noise/noise.h"
#include "models/model.h"

namespace tandem::launcher {

// Null for causal prediction, which hides nothing. `decoder_start`: of encoder-decoders. Throws
// Error when the vocabulary lacks the tokens that stand for what is hidden.
std::unique_ptr<data::Noise> make_noise(models::TextObjective objective,
                                        const data::NoiseConfig& config,
                                        data::NoiseVocabulary vocabulary,
                                        data::TokenId decoder_start);

}  // namespace tandem::launcher
