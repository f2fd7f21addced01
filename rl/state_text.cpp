#include "rl/state_text.h"

#include <charconv>
#include <cmath>

#include "runtime/base/error.h"

namespace tandem::rl {

std::string numbers_to_text(std::string_view name, std::vector<double> numbers) {
  std::string text(name);
  // The shortest decimal that reads back to the same double.
  for (const double number : numbers) text += fmt::format(" {}", number);
  return text;
}

std::vector<double> numbers_from_text(std::string_view name, std::string_view text,
                                      std::size_t count) {
  std::vector<double> numbers;
  bool good = text.substr(0, name.size()) == name;
  std::string_view rest = good ? text.substr(name.size()) : std::string_view();
  while (good && !rest.empty()) {
    double number = 0;
    const char* end = rest.data() + rest.size();
    const auto [stop, code] = std::from_chars(rest.data() + 1, end, number);
    good = rest.front() == ' ' && code == std::errc() && std::isfinite(number);
    if (good) {
      numbers.push_back(number);
      rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
    }
  }
  if (!good || numbers.size() != count) {
    runtime::throw_environment_error(
        "checkpoint state '{}': expected {} numbers, found '{}'; go back to an older checkpoint",
        name, count, text.substr(0, 80));
  }
  return numbers;
}

}  // namespace tandem::rl
