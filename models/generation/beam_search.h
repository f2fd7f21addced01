// Beam search: of many continuations of a prompt those with the highest probability as a whole,
// token for token those of transformers' generate(num_beams=…, do_sample=False) for one prompt.
// Collective as generate.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/generation/beams.h"
#include "models/generation/generate.h"

namespace tandem::models {

struct BeamText {
  std::vector<std::int32_t> tokens;  // with the end-of-sequence token, if it came
  float score = 0;                   // Σ log p / length^length_penalty
  Ending ending = Ending::kLength;
};

// For each prompt num_beams texts, best first. `options.sampling` and `options.seed` have no part
// in it; options.batch_size counts running texts. Throws Error as generate() does, and where the
// vocabulary has fewer tokens than beams need.
std::vector<std::vector<BeamText>> beam_search(Model& model,
                                               std::span<const std::vector<std::int32_t>> prompts,
                                               const GenerateOptions& options,
                                               const BeamOptions& beams);

}  // namespace tandem::models
