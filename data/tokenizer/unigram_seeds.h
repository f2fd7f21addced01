// The pieces that Unigram training starts from: every character, and the substrings of words that
// occur more than once, as long as what follows them differs; those first that cover the most text.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer/word_counter.h"

namespace tandem::data {

struct SeedLimits {
  std::size_t longest = 16;      // characters of a piece
  std::size_t pieces = 1000000;  // characters of the text included, all of which are there
};

// Pieces with log-probabilities. A character's is from its count in the text, a substring's from
// its number in the list of distinct words times its length.
std::vector<std::pair<std::string, double>> seed_pieces(const WordCounter& words,
                                                        const SeedLimits& limits = {});

}  // namespace tandem::data
