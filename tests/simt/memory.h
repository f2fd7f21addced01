// Shared memory of the block that runs, and guarded device memory (emulator.h).
#pragma once

#include <cstddef>
#include <string>

namespace simt {

constexpr std::size_t kMaxSharedBytes = 227 << 10;
constexpr std::size_t kPlainSharedBytes = 48 << 10;

// Garbage in what a block may use, a guard behind it.
void prepare_shared_memory(std::size_t bytes);
// Throws Violation when the guard was written to.
void check_shared_memory(std::size_t bytes, const std::string& kernel);

}  // namespace simt
