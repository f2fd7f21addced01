// What is wrong with a recipe that reads well: found without allocating anything or starting a
// rank, each as one line with file and line (or command-line argument) and a remedy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/recipe/recipe.h"

namespace tandem::launcher {

// In the order of the recipe. Without `world_size` nothing is said about the number of ranks. Data
// files and folders are looked up on disk.
std::vector<std::string> find_problems(const Recipe& recipe,
                                       std::optional<std::int64_t> world_size = std::nullopt);

// Throws Error with the first problem, and how many more there are.
void require_valid(const Recipe& recipe, std::int64_t world_size);

}  // namespace tandem::launcher
