// Small states (a controller's coefficient, running moments) as one line of text for the
// checkpoint: a name, then numbers that read back to the same bits.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::rl {

std::string numbers_to_text(std::string_view name, std::vector<double> numbers);

// Error (environment) unless `text` is `name` and `count` finite numbers.
std::vector<double> numbers_from_text(std::string_view name, std::string_view text,
                                      std::size_t count);

}  // namespace tandem::rl
