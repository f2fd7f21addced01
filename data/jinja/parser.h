// Reads a template into its tree.
#pragma once

#include <string_view>

#include "data/jinja/ast.h"
#include "data/jinja/lexer.h"

namespace tandem::data::jinja {

// Throws SyntaxError that says what was expected.
Block parse_template(std::string_view source);

}  // namespace tandem::data::jinja
