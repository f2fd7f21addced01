// How texts are generated: the command line's word first, then the model's generation_config.json,
// then defaults.
#pragma once

#include <string>
#include <vector>

#include "launcher/cli/command_line.h"
#include "models/generation/beam_search.h"
#include "models/generation/generation_config.h"

namespace tandem::launcher {

struct GenerationSettings {
  models::GenerateOptions options;
  models::BeamOptions beams;  // num_beams 1: sampling
  std::int64_t texts_per_prompt = 1;
  std::vector<std::string> stop_strings;
  // One sentence for each wish of generation_config.json that is not met.
  std::vector<std::string> notes;
};

// Of a model of this kind, whose tokenizer ends texts with `eos` (−1: with nothing). Throws Error
// for wishes that exclude each other.
GenerationSettings generation_settings(const GenerateCommand& command,
                                       const models::GenerationConfig& config,
                                       models::ModelKind kind, std::int32_t eos);

}  // namespace tandem::launcher
