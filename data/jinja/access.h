// Attributes, elements and slices of values, and the methods of strings, lists and dicts.
#pragma once

#include <optional>
#include <string_view>

#include "data/jinja/arguments.h"
#include "data/jinja/context.h"

namespace tandem::data::jinja {

// object.name: a method, or else the element of that key. Undefined where there is none; throws
// Failure for an undefined object.
Value get_attribute(const Value& object, const std::string& name);
// object[index]: the element, or else the method of that name.
Value get_item(const Value& object, const Value& index);
// object[begin:end:step]; undefined bounds are not given.
Value get_slice(Context& context, const Value& object, const Value& begin, const Value& end,
                const Value& step);

// methods.cpp
std::optional<Value> find_method(const Value& object, const std::string& name);

}  // namespace tandem::data::jinja
