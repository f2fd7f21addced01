// Ranks as threads of one process: the same interface without MPI, for unit tests and
// ThreadSanitizer.
#pragma once

#include <functional>

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

// Runs `body(world)` on `ranks` threads and waits for all. The first exception of any rank is
// rethrown after all ended (ranks blocked in a collective are released with an error).
void run_ranks_as_threads(int ranks, const std::function<void(const Group& world)>& body);

}  // namespace tandem::parallel
