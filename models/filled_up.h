// Texts of which ranks need equal parts.
#pragma once

#include "models/model.h"

namespace tandem::models {

// The input with one further text at its end that makes the number of tokens the next multiple, and
// at least `tokens`; as it is where that is so already. Both sides of an encoder-decoder get that
// text, or neither.
ModelInput filled_up(const ModelInput& input, std::int64_t multiple, std::int64_t tokens = 0);

}  // namespace tandem::models
