// Texts as Python's str sees them: characters are code points, white space and letters are
// Unicode's. Everything takes and gives valid UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::data::jinja {

std::vector<std::string_view> characters(std::string_view text);
std::size_t count_characters(std::string_view text);

bool is_space(char32_t c);  // str.isspace, and \s in re

// Without the characters at its start or end (both: strip) that are in `set`, or white space.
enum class Side { kLeft, kRight, kBoth };
std::string_view strip(std::string_view text, Side side,
                       const std::optional<std::string>& set = std::nullopt);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalized(std::string_view text);  // str.capitalize
std::string title_case(std::string_view text);   // str.title

// str.split: at white space, or at `separator`; at most `limit` cuts, -1 for all. With `from_right`
// the last ones.
std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator,
                               std::int64_t limit, bool from_right);
std::vector<std::string> split_lines(std::string_view text);

// At most `limit` replacements from the left, -1 for all.
std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t limit);

}  // namespace tandem::data::jinja
