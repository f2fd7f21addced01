// Ends a run that cannot fit before anything is allocated.
#pragma once

#include "launcher/planner/memory_plan.h"
#include "parallel/comm/communicator.h"

namespace tandem::launcher {

// Collective. On the first rank of a machine or, where `device` is a GPU, of a card, throws Error
// naming the stage, what it needs there, what is free there and what to change. Ranks of one
// machine share its memory, and so do ranks of one card.
void require_memory(const Recipe& recipe, const parallel::Group& world, runtime::Device device);

// Throws Error when a rank of a stage needs more than `limit` bytes. `plans` are those of all
// stages.
void require_memory_of_each_rank(MemoryPlanner& planner, const std::vector<StageMemory>& plans,
                                 std::int64_t limit);

}  // namespace tandem::launcher
