// JSON read and written. nlohmann's parser and printer are templates that cost the compiler a
// second in each source that uses them; here they are compiled once.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace tandem::runtime {

// As nlohmann::json::parse. Throw nlohmann::json::parse_error.
nlohmann::json parse_json(std::string_view text);
nlohmann::ordered_json parse_ordered_json(std::string_view text);
// Text that is no JSON gives a value that is_discarded(), and is none of the types that JSON has.
nlohmann::json try_parse_json(std::string_view text);
nlohmann::ordered_json try_parse_ordered_json(std::string_view text);

// As value.dump(indent): on one line without an indent. Throw nlohmann::json::type_error for text
// that is not UTF-8.
std::string json_text(const nlohmann::json& value, int indent = -1);
std::string json_text(const nlohmann::ordered_json& value, int indent = -1);
// The same with U+FFFD in place of what is not UTF-8.
std::string lossy_json_text(const nlohmann::json& value, int indent = -1);

}  // namespace tandem::runtime
