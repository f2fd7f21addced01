// The frame around a command: MPI, logging, threads, and the one place where an error becomes a
// line and an exit code.
#pragma once

#include <functional>

#include "parallel/comm/communicator.h"

namespace tandem::launcher {

// True on the process that speaks for all, before MPI has started: rank 0, or a process on its own.
bool speaks_for_all();

// Starts MPI, runs `command` on every rank and returns the exit code. An error is printed once, in
// one line, by the first rank that has it (rank 0 before the others); then all ranks end.
int run_process(int* argc, char*** argv,
                const std::function<void(const parallel::Group& world)>& command);

}  // namespace tandem::launcher
