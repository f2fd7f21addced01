// The frame around a command: how ranks start, logging, threads, and the one place where an error
// becomes a line and an exit code.
#pragma once

#include <functional>
#include <optional>

#include "parallel/comm/communicator.h"

namespace tandem::launcher {

// True on the process that speaks for all, before ranks know each other: rank 0, or a process on
// its own.
bool speaks_for_all();

// Runs `command` on every rank and returns the exit code. The ranks are those that mpirun or srun
// has started; or `ranks` processes of this machine that are started here; or this process alone,
// which needs no MPI. An error is printed once, in one line, by the first rank that has it (rank 0
// before the others); then all ranks end.
int run_process(int* argc, char*** argv, std::optional<int> ranks,
                const std::function<void(const parallel::Group& world)>& command);

}  // namespace tandem::launcher
