// "did you mean …?"
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tandem::launcher {

// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
int edit_distance(std::string_view a, std::string_view b);

// The candidate closest to `word`, or empty when none is close enough to be meant.
std::string closest(std::string_view word, std::span<const std::string> candidates);

// " (did you mean 'learning_rate'?)", or empty.
std::string suggestion(std::string_view word, std::span<const std::string> candidates);

}  // namespace tandem::launcher
