// What byte-level BPE vocabularies of other file formats are composed with: how a text is cut into
// pieces, by the pattern's name, and the byte level around the model.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tandem::data {

// The pre_tokenizer and decoder of a tokenizer.json. nullopt for a name that is not known:
// gpt2, llama3, qwen2, smollm, cl100k, o200k.
std::optional<nlohmann::json> byte_level_pre_tokenizer(std::string_view pattern_name);
nlohmann::json byte_level_decoder();

}  // namespace tandem::data
