// main of test programs that mpirun starts. Every rank runs every test; a test that fails on any
// rank fails the program.
#pragma once

#include "parallel/comm/mpi/mpi.h"

namespace tandem::parallel::testing {

// The runtime that main made.
MpiRuntime& mpi();

}  // namespace tandem::parallel::testing
