// What options can be set to: one of a few names, or a number within bounds. CLI11's own checks
// answer a mistake with enumerators' numbers and the largest double.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tandem::launcher {

CLI::Validator above_zero();
CLI::Validator zero_or_above();
CLI::Validator from_zero_to_one();

// Turns "500MB" into bytes; kB is 1000 of them, KiB 1024.
CLI::Validator file_size();

// In the order in which help and mistakes name them.
template <typename Enum>
using NamedValues = std::vector<std::pair<std::string, Enum>>;

// Turns names[i] into numbers[i].
CLI::Validator one_of(std::vector<std::string> names, std::vector<int> numbers);

// Adds an option that takes one of the names.
template <typename Target, typename Enum>
CLI::Option* add_named(CLI::App& app, const std::string& option, Target& target,
                       const NamedValues<Enum>& values, const std::string& help) {
  std::vector<std::string> names;
  std::vector<int> numbers;  // as CLI11 reads enumerators
  for (const auto& [name, value] : values) {
    names.push_back(name);
    numbers.push_back(static_cast<int>(value));
  }
  const std::string choice = CLI::detail::join(names, "|");
  return app.add_option(option, target, help)
      ->transform(one_of(std::move(names), std::move(numbers)))
      ->type_name(choice);
}

}  // namespace tandem::launcher
