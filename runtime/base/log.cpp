#include "runtime/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

namespace tandem::runtime {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto made = spdlog::stderr_logger_mt("tandem");
    made->set_pattern("%H:%M:%S %l  %v");
    return made;
  }();
  return instance;
}

}  // namespace

void configure_logging(int rank, int world_size, LogLevel level) {
  const std::string prefix = world_size > 1 ? fmt::format("[rank {}] ", rank) : "";
  logger()->set_pattern("%H:%M:%S %l  " + prefix + "%v");
  const LogLevel own = rank == 0 ? level : std::max(level, LogLevel::kWarning);
  logger()->set_level(to_spdlog(own));
}

void log_message(LogLevel level, std::string_view message) {
  logger()->log(to_spdlog(level), "{}", message);
  if (level >= LogLevel::kWarning) logger()->flush();
}

}  // namespace tandem::runtime
