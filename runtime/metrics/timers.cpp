#include "runtime/metrics/timers.h"

#include <fmt/format.h>

#include <cmath>

namespace tandem::runtime {

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  const auto total = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t hours = total / 3600;
  const std::int64_t minutes = total / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60)
                   : fmt::format("{}:{:02}", minutes, total % 60);
}

std::string format_thousands(std::int64_t value) {
  const auto magnitude = static_cast<std::uint64_t>(value);
  std::string digits = fmt::format("{}", value < 0 ? 0 - magnitude : magnitude);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  if (value < 0) digits.insert(0, 1, '-');
  return digits;
}

}  // namespace tandem::runtime
