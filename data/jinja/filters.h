// Filters ("value | name(…)") and tests ("value is name(…)"), by their names in jinja2.
#pragma once

#include <string>
#include <string_view>

#include "data/jinja/arguments.h"
#include "data/jinja/context.h"

namespace tandem::data::jinja {

// Both throw Failure for a name that is unknown and for what the filter or test cannot be applied
// to.
Value apply_filter(Context& context, std::string_view name, const Value& input,
                   const CallArguments& arguments);
bool apply_test(Context& context, std::string_view name, const Value& input,
                const CallArguments& arguments);

// What filters.cpp looks in, one function for each file.
using FilterFunction = Value (*)(Context& context, const Value& input,
                                 const CallArguments& arguments);
FilterFunction find_text_filter(std::string_view name);
FilterFunction find_sequence_filter(std::string_view name);

}  // namespace tandem::data::jinja
