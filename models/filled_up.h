// Texts of which ranks need equal parts.
#pragma once

#include "models/model.h"

namespace tandem::models {

// The input with one further text at its end that makes the number of tokens the next multiple; as
// it is where that is so already. Both sides of an encoder-decoder get that text, or neither.
ModelInput filled_up(const ModelInput& input, std::int64_t multiple);
// The same with at least `tokens` of them, and `encoder_tokens` of what an encoder reads, each by
// itself.
ModelInput filled_up(const ModelInput& input, std::int64_t multiple, std::int64_t tokens,
                     std::int64_t encoder_tokens = 0);

}  // namespace tandem::models
