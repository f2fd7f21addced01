// Ranks as processes of this machine that this process starts and looks after: what mpirun does,
// without MPI.
#pragma once

#include <functional>

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

// Forks `ranks` processes, each of which runs `body(world)` and ends with what it returns as its
// exit code. The caller, which must have started no thread yet and computes nothing itself, waits:
//  - SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 that it gets go to all ranks;
//  - when a rank ends otherwise than with 0, the others are killed. One that was ended by a signal
//    is named on standard error; the others have spoken for themselves;
//  - when the caller dies, so do the ranks.
// Returns the exit code of the first rank that failed (128 + the signal's number where a signal
// ended it), or 0.
int run_ranks_as_processes(int ranks, const std::function<int(const Group& world)>& body);

}  // namespace tandem::parallel
