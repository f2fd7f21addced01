#include "launcher/coordinator/run_ticket.h"

#include <random>

#include "runtime/base/error.h"

namespace tandem::launcher {

RunTicket parse_run_ticket(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::size_t colon = text.substr(0, slash).rfind(':');
  if (slash == std::string_view::npos || colon == std::string_view::npos || colon == 0 ||
      slash + 1 == text.size()) {
    runtime::throw_error("coordinator address '{}': expected host:port/run", text);
  }
  return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::string new_run_id() {
  std::random_device entropy;
  const std::uint64_t high = entropy();
  return fmt::format("{:016x}", (high << 32) | entropy());
}

}  // namespace tandem::launcher
