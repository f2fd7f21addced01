#include "data/tokenizer/unigram_seeds.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "data/tokenizer/characters.h"

namespace tandem::data {
namespace {

struct Counted {
  std::int64_t score;
  std::string_view text;
};

// The rest of every word from every character on, sorted. Words are apart from each other, so these
// are the suffix array of all words put together as far as it matters.
std::vector<std::string_view> sorted_suffixes(const WordCounter& words) {
  std::vector<std::string_view> suffixes;
  for (std::int64_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words.word(i);
    for_each_character(word, [&](std::string_view character) {
      suffixes.push_back(word.substr(static_cast<std::size_t>(character.data() - word.data())));
    });
  }
  std::ranges::sort(suffixes);
  return suffixes;
}

// Bytes of the characters that two suffixes begin with; one more where they are the same, for the
// end of the word that comes next in both.
std::size_t common_prefix(std::string_view a, std::string_view b) {
  const auto [end, other] = std::ranges::mismatch(a, b);
  auto length = static_cast<std::size_t>(end - a.begin());
  if (length == a.size() && length == b.size()) return length + 1;
  const std::string_view longer = a.size() > b.size() ? a : b;
  while (length > 0 && (static_cast<unsigned char>(longer[length]) & 0xC0) == 0x80) --length;
  return length;
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for_each_character(text, [&](std::string_view) { ++count; });
  return count;
}

// The inner nodes of the suffix tree: intervals of the sorted suffixes with a common prefix longer
// than that of any larger interval (Abouelhoda et al., "Replacing suffix trees with enhanced suffix
// arrays", 2004).
std::vector<Counted> repeated_substrings(const std::vector<std::string_view>& suffixes,
                                         std::size_t longest) {
  struct Open {
    std::size_t length, begin;
  };
  std::vector<Counted> found;
  std::vector<Open> open = {{0, 0}};
  for (std::size_t i = 1; i <= suffixes.size(); ++i) {
    const std::size_t common =
        i < suffixes.size() ? common_prefix(suffixes[i - 1], suffixes[i]) : 0;
    std::size_t begin = i - 1;
    while (open.back().length > common) {
      const auto [length, first] = open.back();
      open.pop_back();
      begin = first;
      const std::string_view text = suffixes[first].substr(0, length);
      if (length > suffixes[first].size()) continue;  // goes beyond the word
      const std::size_t characters = count_characters(text);
      if (characters >= 2 && characters <= longest)
        found.push_back({static_cast<std::int64_t>((i - first) * characters), text});
    }
    if (open.back().length < common) open.push_back({common, begin});
  }
  return found;
}

// The highest score first, of equal ones the later in the alphabet.
void sort_by_score(std::vector<Counted>& counted) {
  std::ranges::sort(counted, [](const Counted& a, const Counted& b) {
    return a.score != b.score ? a.score > b.score : a.text > b.text;
  });
}

}  // namespace

std::vector<std::pair<std::string, double>> seed_pieces(const WordCounter& words,
                                                        const SeedLimits& limits) {
  const auto character_counts = count_characters(words);
  std::vector<Counted> characters;
  for (const auto& [character, count] : character_counts) characters.push_back({count, character});
  sort_by_score(characters);
  const std::vector<std::string_view> suffixes = sorted_suffixes(words);
  std::vector<Counted> substrings = repeated_substrings(suffixes, limits.longest);
  sort_by_score(substrings);
  if (const std::size_t room = limits.pieces - std::min(limits.pieces, characters.size());
      substrings.size() > room)
    substrings.resize(room);
  std::vector<std::pair<std::string, double>> pieces;
  double sum = 0;
  for (const auto* list : {&characters, &substrings})
    for (const auto& [score, text] : *list) {
      pieces.emplace_back(text, static_cast<double>(score));
      sum += static_cast<double>(score);
    }
  for (auto& [text, score] : pieces) score = std::log(score) - std::log(sum);
  return pieces;
}

}  // namespace tandem::data
