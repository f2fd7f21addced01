// What a person sees while a stage runs. On a terminal: one line, redrawn in place at most ten
// times a second,
//   pretrain  ━━━━━━━━━━━━╌╌╌╌╌╌╌╌  312/600  loss 3.412  2,140 tok/s  ETA 1:23
// elsewhere (a log file, a batch system): the same as a plain line once per interval and at the
// end.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace tandem::runtime {

struct ProgressOptions {
  bool terminal = false;
  bool unicode = false;
  int columns = 80;
  double interval = 10.0;                     // seconds between plain lines
  std::function<void(std::string_view)> out;  // receives what is printed
  std::function<double()> clock;              // seconds, monotonic

  // For standard error as it is: terminal or not, its width, and whether the locale can show the
  // bar.
  static ProgressOptions standard_error();
};

class Progress {
 public:
  using Value = std::pair<std::string_view, double>;

  // `done` steps with `done_tokens` are behind already (a resumed stage).
  Progress(std::string stage, std::int64_t total_steps, std::int64_t done = 0,
           std::int64_t done_tokens = 0,
           ProgressOptions options = ProgressOptions::standard_error());
  // A line that was left on the terminal is ended.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // After each step: how many are done, tokens processed so far, and the values to show.
  void update(std::int64_t step, std::int64_t tokens, std::span<const Value> values);
  // Prints the last state whatever the interval, and ends the line.
  void finish();

 private:
  struct Sample {
    double time;
    std::int64_t step;
    std::int64_t tokens;
  };

  std::string details() const;
  std::string bar(int width) const;
  void draw();
  void draw_terminal();

  std::string stage_;
  std::int64_t total_;
  ProgressOptions options_;
  std::deque<Sample> window_;  // the last half minute, for rates
  std::string values_;
  double last_drawn_ = -1e300;
  std::int64_t drawn_step_ = -1;
  bool line_open_ = false;
};

}  // namespace tandem::runtime
