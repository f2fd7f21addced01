// Runs a recipe: stage after stage, each once.
#pragma once

#include "launcher/recipe/recipe.h"
#include "parallel/comm/communicator.h"

namespace tandem::launcher {

// Collective over `world`, whose collectives take tensors of `device`. The recipe has been checked.
// Finished stages are skipped, an interrupted one goes on.
void run_recipe(const Recipe& recipe, const parallel::Group& world, runtime::Device device);

}  // namespace tandem::launcher
