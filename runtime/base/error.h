// Two kinds of failure, kept apart everywhere:
//  - Error: the user's mistake or the world's (a bad key, a missing file, a dead peer). Its message
//  is one
//    sentence that says where, what and how to mend it; main prints it and exits with `exit_code`.
//  - TANDEM_CHECK: a broken invariant, our own bug. It throws InternalError with the place in the
//  source.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace tandem::runtime {

enum class ErrorKind {
  kUsage,        // recipe, command line or input data: exit code 2
  kEnvironment,  // disk, network, a peer that died: exit code 2 too, for a person must act
  kInterrupted,  // SIGTERM or SIGINT after the state was saved: exit code 130
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ErrorKind kind = ErrorKind::kUsage)
      : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const;

 private:
  ErrorKind kind_;
};

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// throw_error("{}:{}: unknown key '{}'", file, line, key): a user's mistake.
template <typename... Args>
[[noreturn]] void throw_error(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// The same for what the machine or a peer did to us.
template <typename... Args>
[[noreturn]] void throw_environment_error(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...), ErrorKind::kEnvironment);
}

namespace internal {
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& message);
}  // namespace internal

}  // namespace tandem::runtime

// A macro, because the condition's text and its lazily formatted message cannot pass through a
// function.
#define TANDEM_CHECK(condition, ...)                                            \
  do {                                                                          \
    if (!(condition)) [[unlikely]]                                              \
      ::tandem::runtime::internal::check_failed(__FILE__, __LINE__, #condition, \
                                                ::fmt::format(__VA_ARGS__));    \
  } while (false)
