#include "runtime/io/json_text.h"

#include <nlohmann/json.hpp>

namespace tandem::runtime {

using nlohmann::json;
using nlohmann::ordered_json;

json parse_json(std::string_view text) {
  return json::parse(text);
}

ordered_json parse_ordered_json(std::string_view text) {
  return ordered_json::parse(text);
}

json try_parse_json(std::string_view text) {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

ordered_json try_parse_ordered_json(std::string_view text) {
  return ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string json_text(const json& value, int indent) {
  return value.dump(indent);
}

std::string json_text(const ordered_json& value, int indent) {
  return value.dump(indent);
}

std::string lossy_json_text(const json& value, int indent) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

}  // namespace tandem::runtime
