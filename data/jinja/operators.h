// Arithmetic, comparison and containment as Python has them.
#pragma once

#include <string_view>

#include "data/jinja/context.h"

namespace tandem::data::jinja {

// + - * / // % **. Throws Failure where Python raises, and for whole numbers beyond 64 bits.
Value calculate(Context& context, std::string_view operation, const Value& left,
                const Value& right);
Value negate(const Value& value);

// == != < <= > >= in, not in.
bool compare(Context& context, std::string_view operation, const Value& left, const Value& right);

// Whether `left` comes before `right` in a sorted list.
bool less(const Value& left, const Value& right);
bool contains(Context& context, const Value& container, const Value& item);

}  // namespace tandem::data::jinja
