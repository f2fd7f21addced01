// MPI between CPU ranks. Sets what must be set before MPI_Init (yielding waits, so that oversubscribed ranks do not
// spin), initialises MPI once, and finalises it at the end of main.
#pragma once

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

// Owns MPI for the life of the program. Made once in main (or a test's main). Started without mpirun it is a world of
// one rank.
class MpiRuntime {
 public:
  MpiRuntime(int* argc, char*** argv);
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  // All ranks.
  const Group& world() const { return world_; }
  // Rank and count of the ranks on this machine (to choose GPUs and thread counts).
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  // Ends all ranks at once, for an error that only this rank knows of. Does not return.
  [[noreturn]] void abort(int exit_code);

 private:
  Group world_;
  int local_rank_ = 0;
  int local_size_ = 1;
};

}  // namespace tandem::parallel
