#include "runtime/metrics/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "runtime/metrics/timers.h"

namespace tandem::runtime {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kWindowSeconds = 30.0;
constexpr int kMinBar = 8;
constexpr int kMaxBar = 40;

bool locale_is_utf8() {
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view text = value;
    return text.find("UTF-8") != text.npos || text.find("utf8") != text.npos;
  }
  return false;
}

int terminal_columns() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string repeat(std::string_view piece, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += piece;
  return text;
}

}  // namespace

ProgressOptions ProgressOptions::standard_error() {
  const char* kind = std::getenv("TERM");
  ProgressOptions options;
  options.terminal =
      ::isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
  options.unicode = locale_is_utf8();
  options.columns = terminal_columns();
  options.out = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  };
  options.clock = [watch = Stopwatch()] { return watch.seconds(); };
  return options;
}

Progress::Progress(std::string stage, std::int64_t total_steps, std::int64_t done,
                   std::int64_t done_tokens, ProgressOptions options)
    : stage_(std::move(stage)), total_(total_steps), options_(std::move(options)) {
  window_.push_back({options_.clock(), done, done_tokens});
}

Progress::~Progress() {
  if (line_open_) options_.out("\n");
}

void Progress::update(std::int64_t step, std::int64_t tokens, std::span<const Value> values) {
  const double time = options_.clock();
  window_.push_back({time, step, tokens});
  while (window_.size() > 2 && window_[1].time < time - kWindowSeconds) window_.pop_front();
  values_.clear();
  for (const auto& [name, value] : values) values_ += fmt::format("  {} {:.4g}", name, value);
  if (time - last_drawn_ >= (options_.terminal ? kRedrawSeconds : options_.interval)) draw();
}

void Progress::finish() {
  if (window_.back().step != drawn_step_ || options_.terminal) draw();
  if (line_open_) options_.out("\n");
  line_open_ = false;
}

std::string Progress::details() const {
  const Sample& first = window_.front();
  const Sample& last = window_.back();
  std::string text = fmt::format("{}/{}{}", last.step, total_, values_);
  const double elapsed = last.time - first.time;
  if (elapsed <= 0 || last.step == first.step) return text;
  if (last.tokens > first.tokens)
    text +=
        fmt::format("  {} tok/s", format_thousands(static_cast<std::int64_t>(
                                      static_cast<double>(last.tokens - first.tokens) / elapsed)));
  const double per_step = elapsed / static_cast<double>(last.step - first.step);
  return text + fmt::format("  ETA {}",
                            format_duration(per_step * static_cast<double>(total_ - last.step)));
}

std::string Progress::bar(int width) const {
  const double share =
      total_ > 0 ? static_cast<double>(window_.back().step) / static_cast<double>(total_) : 1.0;
  const int filled = std::clamp(static_cast<int>(share * width), 0, width);
  return options_.unicode ? repeat("━", filled) + repeat("╌", width - filled)
                          : repeat("#", filled) + repeat("-", width - filled);
}

void Progress::draw() {
  last_drawn_ = window_.back().time;
  drawn_step_ = window_.back().step;
  if (options_.terminal) {
    draw_terminal();
  } else {
    options_.out(fmt::format("{}  {}\n", stage_, details()));
  }
}

// The cursor is left at the start of the line, so that a log message overwrites the bar instead of
// following it.
void Progress::draw_terminal() {
  const std::string text = details();
  const int room = options_.columns - 1 - static_cast<int>(stage_.size() + text.size()) - 4;
  std::string line = room < kMinBar
                         ? fmt::format("{}  {}", stage_, text)
                         : fmt::format("{}  {}  {}", stage_, bar(std::min(room, kMaxBar)), text);
  if (room < kMinBar)
    line.resize(std::min(line.size(), static_cast<std::size_t>(options_.columns - 1)));
  options_.out("\r\033[K" + line + "\r");
  line_open_ = true;
}

}  // namespace tandem::runtime
