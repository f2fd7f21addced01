// A GlobalSum over two threads that stand for data-parallel ranks.
#pragma once

#include <array>
#include <barrier>
#include <vector>

#include "rl/statistics.h"

namespace tandem::testing {

// Each rank writes its own slot, so that the order of summation is fixed.
class ThreadSum {
 public:
  rl::GlobalSum rank(std::size_t rank) {
    return [this, rank](std::span<double> values) {
      slots_[rank].assign(values.begin(), values.end());
      barrier_.arrive_and_wait();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = slots_[0][i] + slots_[1][i];
      barrier_.arrive_and_wait();
    };
  }

 private:
  std::barrier<> barrier_{2};
  std::array<std::vector<double>, 2> slots_;
};

}  // namespace tandem::testing
