// Logging: one line per event on standard error, prefixed with the rank when there are several.
// Progress and metrics do not come through here (runtime/metrics, train/progress.h).
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace tandem::runtime {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Called once at start. Ranks other than 0 log from kWarning upwards only.
void configure_logging(int rank, int world_size, LogLevel level = LogLevel::kInfo);

void log_message(LogLevel level, std::string_view message);

template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tandem::runtime
