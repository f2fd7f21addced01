// Where time and work go: named seconds and named counts, read out and reset once per report.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tandem::runtime {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void restart() { start_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Sums by name, in the order of first use. For one thread.
template <typename Number>
class Tally {
 public:
  using Entries = std::vector<std::pair<std::string, Number>>;

  void add(std::string_view name, Number amount) {
    for (auto& [existing, sum] : entries_) {
      if (existing == name) {
        sum += amount;
        return;
      }
    }
    entries_.emplace_back(name, amount);
  }
  // 0 for a name that was never added to.
  Number get(std::string_view name) const {
    for (const auto& [existing, sum] : entries_)
      if (existing == name) return sum;
    return Number{};
  }
  const Entries& entries() const { return entries_; }
  // The sums so far; the tally starts again from nothing.
  Entries take() { return std::exchange(entries_, {}); }

 private:
  Entries entries_;
};

using Timers = Tally<double>;          // seconds
using Counters = Tally<std::int64_t>;  // tokens, bytes, samples, …

// Adds the seconds of its own life to a timer.
class ScopedTimer {
 public:
  ScopedTimer(Timers& timers, std::string_view name) : timers_(timers), name_(name) {}
  ~ScopedTimer() { timers_.add(name_, watch_.seconds()); }
  ScopedTimer(const ScopedTimer&) = delete;
  ScopedTimer& operator=(const ScopedTimer&) = delete;

 private:
  Timers& timers_;
  std::string_view name_;
  Stopwatch watch_;
};

// "1:02:03", "4:05", "0:07"; "-" for a time that is not known (negative or not finite).
std::string format_duration(double seconds);
// 12345678 → "12,345,678"
std::string format_thousands(std::int64_t value);

}  // namespace tandem::runtime
