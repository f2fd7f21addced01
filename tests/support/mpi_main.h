// What tests under mpirun see of their world.
#pragma once

#include "parallel/comm/mpi/mpi.h"

namespace tandem::test {

const parallel::Group& world();

}  // namespace tandem::test
