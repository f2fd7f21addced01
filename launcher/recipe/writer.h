// The resolved recipe as YAML: every key with its value, those that differ from their default with
// the default behind them. Reading it again gives the same recipe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/recipe/recipe.h"

namespace tandem::launcher {

std::string to_yaml(const Recipe& recipe);

// What a stage's result depends on, one "key: value" line each: its own keys and the recipe's, but
// not those that only say how it is computed (layout, micro-batches, recomputation) or how often it
// reports. Kept with a finished stage, so that a recipe that has changed since is noticed and not
// silently skipped.
std::string result_settings(const Recipe& recipe, const Stage& stage);

// The lines that differ between two such texts, as "steps: 600 → 300".
std::vector<std::string> changed_settings(std::string_view before, std::string_view after);

}  // namespace tandem::launcher
