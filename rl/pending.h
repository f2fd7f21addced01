// The result of a call to a role that may run elsewhere: what std::future is, with a deadline and
// an error that says whom we waited for. Several calls can be in flight; so reference, reward and
// critic work at the same time.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <utility>

#include "runtime/base/error.h"

namespace tandem::rl {

struct PendingOptions {
  // Completes the sentence "<what> within <n> s" of the error, for example "reward role (rank 6,
  // 127.0.0.1:41235) did not answer Score".
  std::string what;
  std::chrono::milliseconds deadline{60000};
  // Called about ten times a second while get() waits; may throw, for example because a peer was
  // found dead.
  std::function<void()> while_waiting = {};
};

template <typename T>
class Pending {
 public:
  // A result that is there already: calls within one process.
  static Pending ready(T value) {
    std::promise<T> promise;
    promise.set_value(std::move(value));
    return Pending(promise.get_future(), {});
  }

  // The deadline counts from now.
  Pending(std::future<T> future, PendingOptions options)
      : future_(std::move(future)),
        options_(std::move(options)),
        expires_(std::chrono::steady_clock::now() + options_.deadline) {}

  bool is_ready() const {
    return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  // Once. Waits, at most until the deadline; throws what the call threw, or Error (environment)
  // past the deadline.
  T get() {
    constexpr std::chrono::milliseconds kTick{100};
    while (future_.wait_until(std::min(std::chrono::steady_clock::now() + kTick, expires_)) !=
           std::future_status::ready) {
      if (std::chrono::steady_clock::now() >= expires_) {
        runtime::throw_environment_error("{} within {:g} s", options_.what,
                                         std::chrono::duration<double>(options_.deadline).count());
      }
      if (options_.while_waiting) options_.while_waiting();
    }
    return future_.get();
  }

 private:
  std::future<T> future_;
  PendingOptions options_;
  std::chrono::steady_clock::time_point expires_;
};

}  // namespace tandem::rl
