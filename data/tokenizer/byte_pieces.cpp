#include "data/tokenizer/byte_pieces.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/tokenizer/pre_tokenizer.h"

namespace tandem::data {

using nlohmann::json;

namespace {

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Differs from Llama 3's in white space at the end of the text, which stays together.
constexpr std::string_view kCl100k =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kPatterns = {
    std::pair{std::string_view("llama3"), kLlama3}, std::pair{std::string_view("qwen2"), kQwen2},
    std::pair{std::string_view("cl100k"), kCl100k}, std::pair{std::string_view("o200k"), kO200k}};

json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

json in_a_row(json first, json second) {
  return {{"type", "Sequence"}, {"pretokenizers", json::array({first, second})}};
}

}  // namespace

std::optional<json> byte_level_pre_tokenizer(std::string_view pattern_name) {
  if (pattern_name == "gpt2") return byte_level(true);
  if (pattern_name == "smollm")
    return in_a_row({{"type", "Digits"}, {"individual_digits", true}}, byte_level(true));
  for (const auto& [name, pattern] : kPatterns)
    if (name == pattern_name)
      return in_a_row({{"type", "Split"},
                       {"pattern", {{"Regex", pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}},
                      byte_level(false));
  return std::nullopt;
}

json byte_level_decoder() {
  return byte_level(true);
}

}  // namespace tandem::data
