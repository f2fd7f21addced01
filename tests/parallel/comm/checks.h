// What every communicator promises, as functions that all ranks of a group run: over threads, over
// mpirun through shared memory and through messages, and over the group of one.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"

namespace tandem::parallel::testing {

struct Check {
  std::string name;
  void (*run)(const Group& world);

  // What GoogleTest shows of it.
  friend std::ostream& operator<<(std::ostream& out, const Check& check) {
    return out << check.name;
  }
};

// Short enough that a broken communicator fails a test before ctest's own limit.
constexpr std::chrono::seconds kTestDeadline{20};

const std::vector<Check>& all_checks();
// Checks that need a second rank: errors and their texts.
const std::vector<Check>& failure_checks();

}  // namespace tandem::parallel::testing
