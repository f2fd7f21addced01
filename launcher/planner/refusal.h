// Ends a run that cannot fit before anything is allocated.
#pragma once

#include "launcher/recipe/recipe.h"
#include "parallel/comm/communicator.h"

namespace tandem::launcher {

// Collective. Throws Error naming the stage, what it needs on a machine, what that machine has free
// and what to change. Ranks on the same machine share its memory.
void require_memory(const Recipe& recipe, const parallel::Group& world);

// Throws Error when a rank of a stage needs more than `limit` bytes.
void require_memory_of_each_rank(const Recipe& recipe, std::int64_t limit);

}  // namespace tandem::launcher
