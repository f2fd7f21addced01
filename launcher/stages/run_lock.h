// One run per folder.
#pragma once

#include <filesystem>

#include "runtime/io/file_descriptor.h"

namespace tandem::launcher {

// Held by the first rank for as long as the run works in its folder; the system lets go of it when
// the process ends, however it ends.
class RunLock {
 public:
  // Throws Error naming the other process where one holds the lock.
  explicit RunLock(const std::filesystem::path& run_dir);

 private:
  runtime::FileDescriptor fd_;
};

}  // namespace tandem::launcher
