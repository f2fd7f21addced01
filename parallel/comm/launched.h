// What the environment tells of whoever started this process, before ranks know each other.
#pragma once

namespace tandem::parallel {

// The number that a launcher of MPI programs (mpirun, srun) has given this process; null where
// nobody has. Slurm also numbers the script of a job, where no ranks were started.
const char* rank_from_launcher();
// Whether a launcher has started others beside it.
bool launched_as_one_of_many();

}  // namespace tandem::parallel
