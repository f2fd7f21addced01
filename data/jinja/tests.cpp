// The tests behind "is".
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "data/jinja/filters.h"
#include "data/jinja/operators.h"
#include "data/jinja/printing.h"
#include "data/jinja/text.h"

namespace tandem::data::jinja {

namespace {

using Property = bool (*)(const Value& value);

bool is_parity(const Value& value, std::int64_t rest) {
  if (!value.is_number())
    throw Failure(fmt::format("{} is neither odd nor even", value.type_name()));
  if (value.is<double>())
    return std::fabs(std::fmod(value.number(), 2)) == static_cast<double>(rest);
  return ((value.integer() % 2) + 2) % 2 == rest;
}

// Whether changing the case changes nothing, and there are letters that could have changed.
bool is_case(const Value& value, std::string (*change)(std::string_view)) {
  const std::string text = to_text(value);
  return text == change(text) && to_lower(text) != to_upper(text);
}

const std::map<std::string_view, Property>& properties() {
  static const std::map<std::string_view, Property> all = {
      {"defined", [](const Value& v) { return !v.is_undefined(); }},
      {"undefined", [](const Value& v) { return v.is_undefined(); }},
      {"none", [](const Value& v) { return v.is_none(); }},
      {"boolean", [](const Value& v) { return v.is_bool(); }},
      {"true", [](const Value& v) { return v.is_bool() && v.boolean(); }},
      {"false", [](const Value& v) { return v.is_bool() && !v.boolean(); }},
      {"integer", [](const Value& v) { return v.is_integer(); }},
      {"float", [](const Value& v) { return v.is<double>(); }},
      {"number", [](const Value& v) { return v.is_number(); }},
      {"string", [](const Value& v) { return v.is_string(); }},
      {"mapping", [](const Value& v) { return v.is_dict(); }},
      {"callable", [](const Value& v) { return v.is_function(); }},
      {"sequence",
       [](const Value& v) {
         return v.is_string() || v.is_dict() || (v.is_sequence() && !v.is_iterator()) ||
                v.is_undefined();
       }},
      {"iterable",
       [](const Value& v) {
         return v.is_string() || v.is_dict() || v.is_sequence() || v.is_undefined();
       }},
      {"odd", [](const Value& v) { return is_parity(v, 1); }},
      {"even", [](const Value& v) { return is_parity(v, 0); }},
      {"lower", [](const Value& v) { return is_case(v, to_lower); }},
      {"upper", [](const Value& v) { return is_case(v, to_upper); }},
  };
  return all;
}

// As the operators are called in tests.
const std::map<std::string_view, std::string_view>& comparisons() {
  static const std::map<std::string_view, std::string_view> all = {
      {"==", "=="},         {"eq", "=="}, {"equalto", "=="}, {"!=", "!="},
      {"ne", "!="},         {"<", "<"},   {"lt", "<"},       {"lessthan", "<"},
      {"<=", "<="},         {"le", "<="}, {">", ">"},        {"gt", ">"},
      {"greaterthan", ">"}, {">=", ">="}, {"ge", ">="},      {"in", "in"},
  };
  return all;
}

bool is_same(const Value& a, const Value& b) {
  return a.type_name() == b.type_name() && equal(a, b);
}

}  // namespace

bool apply_test(Context& context, std::string_view name, const Value& input,
                const CallArguments& arguments) {
  context.spend(1);
  if (const auto found = properties().find(name); found != properties().end()) {
    const BoundArguments bound(name, arguments, {});
    return found->second(input);
  }
  const BoundArguments bound(name, arguments, {"other"});
  if (const auto found = comparisons().find(name); found != comparisons().end())
    return compare(context, found->second, input, bound.required(0));
  if (name == "sameas") return is_same(input, bound.required(0));
  if (name == "divisibleby")
    return equal(calculate(context, "%", input, bound.required(0)), Value(0));
  throw Failure(fmt::format("the test '{}' is not supported", name));
}

}  // namespace tandem::data::jinja
