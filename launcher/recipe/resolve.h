// Fills in what a recipe leaves open because it follows from the rest: what stages start from,
// layouts that use all ranks, micro-batches, precisions. Values that were given are never changed.
#pragma once

#include <cstdint>
#include <optional>

#include "launcher/recipe/recipe.h"

namespace tandem::launcher {

void resolve(Recipe& recipe, std::optional<std::int64_t> world_size);

}  // namespace tandem::launcher
