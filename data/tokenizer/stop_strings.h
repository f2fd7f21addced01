// Texts that end another: "\nUser:", "</answer>".
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tandem::data {

// The place in `text` where the first of these strings is complete; npos where none is.
std::size_t find_stop(std::string_view text, std::span<const std::string> stop_strings);

}  // namespace tandem::data
