// Values as text: Python's str and repr, and json.dumps.
#pragma once

#include <optional>
#include <string>

#include "data/jinja/value.h"

namespace tandem::data::jinja {

std::string to_text(const Value& value);
std::string to_repr(const Value& value);

struct JsonStyle {
  bool ascii = false;
  std::optional<std::string> indent = {};  // of one level
  std::string between = ", ";
  std::string after_key = ": ";
  bool sort_keys = false;
};

// Throws Failure for what JSON has no form for.
std::string to_json(const Value& value, const JsonStyle& style);

}  // namespace tandem::data::jinja
