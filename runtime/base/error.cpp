#include "runtime/base/error.h"

#include <cstring>

namespace tandem::runtime {

int Error::exit_code() const {
  switch (kind_) {
    case ErrorKind::kUsage:
    case ErrorKind::kEnvironment:
      return 2;
    case ErrorKind::kInterrupted:
      return 130;
  }
  return 1;
}

namespace internal {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  const char* name = std::strrchr(file, '/');
  throw InternalError(
      fmt::format("{}:{}: check failed: {}: {}", name ? name + 1 : file, line, condition, message));
}

}  // namespace internal
}  // namespace tandem::runtime
