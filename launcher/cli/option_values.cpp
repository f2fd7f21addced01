#include "launcher/cli/option_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "launcher/recipe/suggest.h"

namespace tandem::launcher {

namespace {

CLI::Validator number(const char* bounds, bool (*within)(double)) {
  const auto check = [bounds, within](const std::string& typed) -> std::string {
    double value = 0;
    if (CLI::detail::lexical_cast(typed, value) && std::isfinite(value) && within(value)) return "";
    return fmt::format("'{}' is no number {}", typed, bounds);
  };
  return CLI::Validator(check, "");
}

}  // namespace

CLI::Validator above_zero() {
  return number("above 0", [](double value) { return value > 0; });
}

CLI::Validator zero_or_above() {
  return number("from 0 on", [](double value) { return value >= 0; });
}

CLI::Validator from_zero_to_one() {
  return number("from 0 to 1", [](double value) { return value >= 0 && value <= 1; });
}

CLI::Validator file_size() {
  const auto to_bytes = [](std::string& typed) -> std::string {
    std::string bytes = typed;
    try {
      const bool plain = typed.find('-') == std::string::npos;  // CLI11 lets -1 wrap around
      if (plain && CLI::AsSizeValue(true)(bytes).empty() && bytes != "0") {
        typed = bytes;
        return "";
      }
    } catch (const CLI::ValidationError&) {  // an unknown unit, or more than 2^64
    }
    return fmt::format("'{}' is no size above 0, such as 500MB or 2GB", typed);
  };
  return CLI::Validator(to_bytes, "");
}

CLI::Validator one_of(std::vector<std::string> names, std::vector<int> numbers) {
  const auto to_number = [names, numbers](std::string& typed) -> std::string {
    const auto found = std::find(names.begin(), names.end(), typed);
    if (found == names.end())
      return fmt::format("'{}' is none of {}{}", typed, fmt::join(names, ", "),
                         suggestion(typed, names));
    typed = std::to_string(numbers[static_cast<std::size_t>(found - names.begin())]);
    return "";
  };
  return CLI::Validator(to_number, "");
}

}  // namespace tandem::launcher
