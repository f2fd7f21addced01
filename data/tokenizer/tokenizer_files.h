// Finds the tokenizer of a directory or file, in whichever format it is, and brings it into the
// form of a tokenizer.json.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/tokenizer/tokenizer.h"

namespace tandem::data {

// The files of a tokenizer directory as we write them.
constexpr std::string_view kTokenizerJson = "tokenizer.json";
constexpr std::string_view kTokenizerConfigJson = "tokenizer_config.json";
constexpr std::string_view kSpecialTokensMapJson = "special_tokens_map.json";

struct FoundTokenizer {
  TokenizerFiles files;
  std::string origin;  // names the files in errors
};

// Whether there is a file of a known name, or a GGUF file with a tokenizer; not whether it is
// sound.
bool holds_tokenizer(const std::filesystem::path& path);

// Throws Error naming the directory where there is none, and the file for what is malformed.
FoundTokenizer find_tokenizer(const std::filesystem::path& path);

}  // namespace tandem::data
