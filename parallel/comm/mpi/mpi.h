// MPI between CPU ranks. Sets what must be set before MPI_Init (yielding waits, so that
// oversubscribed ranks do not spin), initialises MPI once, and finalises it at the end of main.
//
// MPI carries what goes between machines, and tells ranks of each other at the start. Groups whose
// ranks share a machine talk through shared memory (shared/); both give the same bits.
#pragma once

#include <memory>

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

// Owns MPI for the life of the program. Made once in main (or a test's main), used by the main
// thread only. Started without mpirun it is a world of one rank.
class MpiRuntime {
 public:
  // TANDEM_SHARED_MEMORY=off in the environment sends everything through MPI.
  MpiRuntime(int* argc, char*** argv);
  // Waits for the other ranks, except while an exception unwinds the stack: then it leaves MPI as
  // it is, and the launcher, which sees a rank end without farewell, ends the others.
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  // All ranks.
  const Group& world() const { return world_; }
  // Rank and count of the ranks on this machine (to choose GPUs and thread counts).
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  // Ends all ranks at once, for an error that only this rank knows of; mpirun returns `exit_code`.
  // Does not return.
  [[noreturn]] void abort(int exit_code);

 private:
  class Transport;
  std::unique_ptr<Transport> transport_;
  Group world_;
  int local_rank_ = 0;
  int local_size_ = 1;
  int exceptions_at_start_ = 0;
};

}  // namespace tandem::parallel
