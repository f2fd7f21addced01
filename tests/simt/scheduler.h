// Between runtime.cpp, which takes launches, and emulator.cpp, which runs them.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <string>

namespace simt {

struct Launch {
  std::string name;
  dim3 grid, block;
  std::size_t shared = 0;
  std::function<void()> thread;
};

// Throws Violation.
void run(const Launch& launch);

}  // namespace simt
