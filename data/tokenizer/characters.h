// Characters of counted words, for the trainers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "data/tokenizer/word_counter.h"
#include "data/utf8.h"

namespace tandem::data {

// Calls visit(std::string_view character) for each of them.
template <typename Visit>
void for_each_character(std::string_view text, Visit&& visit) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = decode_utf8(text, at).length;
    visit(text.substr(at, length));
    at += length;
  }
}

inline std::map<std::string, std::int64_t> count_characters(const WordCounter& words) {
  std::map<std::string, std::int64_t> counts;
  for (std::int64_t i = 0; i < words.size(); ++i)
    for_each_character(words.word(i), [&](std::string_view character) {
      counts[std::string(character)] += words.count(i);
    });
  return counts;
}

}  // namespace tandem::data
