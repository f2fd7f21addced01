// Which ranks have something in common that no communicator tells: a machine, a GPU.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

// Names the running system; containers on one machine have the same.
std::string machine_id();

// Ranks of `group` that give the same text as this one, in order. Collective.
std::vector<int> ranks_that_say(const Group& group, const std::string& text, std::string_view name);

// Ranks of `group` on this rank's machine, in order. Collective.
std::vector<int> ranks_of_this_machine(const Group& group);

}  // namespace tandem::parallel
