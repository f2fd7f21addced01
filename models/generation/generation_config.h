// generation_config.json of a Hugging Face directory: how a model's makers want texts generated.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "models/generation/beams.h"
#include "models/generation/logits_processing.h"

namespace tandem::models {

// What the file does not say is empty.
struct GenerationConfig {
  std::vector<std::int32_t> eos_token_ids;
  std::optional<std::int64_t> max_new_tokens, num_return_sequences, num_beams;
  // Lengths with what the decoder starts from: a prompt, or an encoder-decoder's start token.
  std::optional<std::int64_t> max_length, min_length;
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p;
  std::optional<std::int64_t> top_k;
  std::optional<double> length_penalty;
  std::optional<EarlyStopping> early_stopping;
  std::vector<std::string> stop_strings;
  LogitsProcessing processing;
  // Keys that ask for what is not done here.
  std::vector<std::string> passed_over;
};

// Of a model's directory; of a directory without that file, or a GGUF file, an empty one. Throws
// Error, with file and key, for a value that cannot be.
GenerationConfig read_generation_config(const std::filesystem::path& model);

}  // namespace tandem::models
