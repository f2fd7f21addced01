#include "data/jinja/filters.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <map>

#include "data/jinja/printing.h"
#include "data/jinja/text.h"

namespace tandem::data::jinja {

namespace {

Value default_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("default", arguments, {"default_value", "boolean"});
  const bool missing = input.is_undefined() || (bound.flag(1, false) && !input.truth());
  if (!missing) return input;
  return bound.has(0) ? bound.get(0) : Value("");
}

Value length_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("length", arguments, {});
  if (input.is_string()) return count_characters(input.string());
  if (input.is_dict()) return input.dict().items.size();
  if (input.is_undefined()) return 0;
  if (input.is_sequence() && !input.is_iterator()) return input.sequence().items.size();
  throw Failure(fmt::format("{} has no length", input.type_name()));
}

// The number that a text begins and ends with, or none.
template <typename Number>
std::optional<Number> parse_whole(std::string_view text) {
  text = strip(text, Side::kBoth);
  if (text.starts_with('+')) text.remove_prefix(1);
  std::string digits;  // without the '_' between two
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '_' || i == 0 || text[i - 1] == '_' || i + 1 == text.size()) digits += text[i];
  Number value{};
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

void refuse_undefined(const Value& input) {
  if (input.is_undefined()) throw Failure(fmt::format("'{}' is undefined", input.undefined().name));
}

Value int_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("int", arguments, {"default"});
  const Value fallback = bound.has(0) ? bound.get(0) : Value(0);
  refuse_undefined(input);
  if (input.is_integer() || input.is_bool()) return input.integer();
  std::optional<double> number;
  if (input.is_string()) {
    if (const auto whole = parse_whole<std::int64_t>(input.string())) return *whole;
    number = parse_whole<double>(input.string());
  } else if (input.is_number()) {
    number = input.number();
  }
  if (!number || !std::isfinite(*number) || std::fabs(*number) >= 9.2e18) return fallback;
  return static_cast<std::int64_t>(*number);
}

Value float_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("float", arguments, {"default"});
  refuse_undefined(input);
  if (input.is_number()) return input.number();
  if (input.is_string())
    if (const auto number = parse_whole<double>(input.string())) return *number;
  return bound.has(0) ? bound.get(0) : Value(0.0);
}

Value abs_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("abs", arguments, {});
  if (input.is<double>()) return std::fabs(input.number());
  if (!input.is_number()) throw Failure(fmt::format("{} has no size", input.type_name()));
  return input.integer() < 0 ? -input.integer() : input.integer();
}

Value round_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("round", arguments, {"precision", "method"});
  const auto precision = bound.integer(0, 0);
  const std::string method = bound.text(1).value_or("common");
  if (!input.is_number()) throw Failure(fmt::format("{} cannot be rounded", input.type_name()));
  if (precision < 0 || precision > 15) throw Failure("round takes a precision from 0 to 15");
  if (method == "common") {
    if (!input.is<double>()) return input.integer();
    return *parse_whole<double>(fmt::format("{:.{}f}", input.number(), precision));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return std::ceil(input.number() * scale) / scale;
  if (method == "floor") return std::floor(input.number() * scale) / scale;
  throw Failure(fmt::format("round knows the methods common, ceil and floor, not '{}'", method));
}

Value tojson_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{.ascii = bound.flag(0, false), .sort_keys = bound.flag(3, false)};
  if (const Value indent = bound.get(1); indent.is_string()) {
    style.indent = indent.string();
  } else if (!indent.is_undefined() && !indent.is_none()) {
    const std::int64_t width = bound.integer(1, 0);
    if (width > 100) throw Failure("tojson indents by at most 100");
    style.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.between = ',';
  if (const Value separators = bound.get(2); separators.is_sequence()) {
    const auto& items = separators.sequence().items;
    if (items.size() != 2 || !items[0].is_string() || !items[1].is_string())
      throw Failure("tojson takes two strings as separators");
    style.between = items[0].string();
    style.after_key = items[1].string();
  }
  return to_json(input, style);
}

FilterFunction find_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> filters = {
      {"default", default_filter}, {"d", default_filter},   {"length", length_filter},
      {"count", length_filter},    {"int", int_filter},     {"float", float_filter},
      {"abs", abs_filter},         {"round", round_filter}, {"tojson", tojson_filter},
  };
  if (const auto found = filters.find(name); found != filters.end()) return found->second;
  if (const FilterFunction found = find_text_filter(name)) return found;
  return find_sequence_filter(name);
}

}  // namespace

Value apply_filter(Context& context, std::string_view name, const Value& input,
                   const CallArguments& arguments) {
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) throw Failure(fmt::format("the filter '{}' is not supported", name));
  if (input.is_string()) context.spend(input.weight());
  Value result = filter(context, input, arguments);
  context.spend(result.weight());
  return result;
}

}  // namespace tandem::data::jinja
