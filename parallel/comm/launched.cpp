#include "parallel/comm/launched.h"

#include <cstdlib>
#include <string_view>

namespace tandem::parallel {

// Open MPI, PMIx, PMI (MPICH, Intel MPI), Slurm.
const char* rank_from_launcher() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const char* rank = std::getenv(name)) return rank;
  return nullptr;
}

bool launched_as_one_of_many() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const char* size = std::getenv(name)) return std::string_view(size) != "1";
  return false;
}

}  // namespace tandem::parallel
