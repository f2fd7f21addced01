#include "data/jinja/operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tandem::data::jinja {

namespace {

[[noreturn]] void refuse(std::string_view operation, const Value& left, const Value& right) {
  for (const Value* value : {&left, &right})
    if (value->is_undefined())
      throw Failure(fmt::format("'{}' is undefined", value->undefined().name));
  throw Failure(
      fmt::format("{} '{}' {} has no meaning", left.type_name(), operation, right.type_name()));
}

[[noreturn]] void refuse_size() {
  throw Failure("a whole number is too large");
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  if (b == 0) throw Failure("division by zero");
  if (b == -1 && a == std::numeric_limits<std::int64_t>::min()) refuse_size();
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

std::int64_t multiply(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) refuse_size();
  return result;
}

Value power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) throw Failure("division by zero");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  std::int64_t result = 1;
  while (exponent > 0) {
    if (exponent % 2 == 1) result = multiply(result, base);
    exponent /= 2;
    if (exponent > 0) base = multiply(base, base);
  }
  return result;
}

Value calculate_integers(std::string_view operation, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (operation == "+" ? __builtin_add_overflow(a, b, &result)
                       : operation == "-" && __builtin_sub_overflow(a, b, &result))
    refuse_size();
  if (operation == "+" || operation == "-") return result;
  if (operation == "*") return multiply(a, b);
  if (operation == "**") return power(a, b);
  if (operation == "//") return floor_divide(a, b);
  if (b == 0) throw Failure("division by zero");
  if (operation == "/") return static_cast<double>(a) / static_cast<double>(b);
  return b == -1 ? std::int64_t{0} : a - multiply(floor_divide(a, b), b);
}

Value calculate_floats(std::string_view operation, double a, double b) {
  if (operation == "+") return a + b;
  if (operation == "-") return a - b;
  if (operation == "*") return a * b;
  if (operation == "**") return std::pow(a, b);
  if (b == 0) throw Failure("division by zero");
  if (operation == "/") return a / b;
  if (operation == "//") return std::floor(a / b);
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

bool is_whole(const Value& value) {
  return value.is_integer() || value.is_bool();
}

Value repeat(const Value& value, std::int64_t count) {
  const auto times = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
  check_weight(times);
  check_weight(times * value.weight());
  if (value.is_string()) {
    std::string text;
    for (std::size_t i = 0; i < times; ++i) text += value.string();
    return text;
  }
  std::vector<Value> items;
  for (std::size_t i = 0; i < times; ++i)
    items.insert(items.end(), value.sequence().items.begin(), value.sequence().items.end());
  return Value::sequence(std::move(items), value.sequence().kind);
}

bool can_repeat(const Value& value) {
  return value.is_string() || (value.is_sequence() && !value.is_iterator());
}

Value calculate_any(std::string_view operation, const Value& left, const Value& right) {
  if (is_whole(left) && is_whole(right))
    return calculate_integers(operation, left.integer(), right.integer());
  if (left.is_number() && right.is_number())
    return calculate_floats(operation, left.number(), right.number());
  if (operation == "+" && left.is_string() && right.is_string()) {
    check_weight(left.string().size() + right.string().size());
    return left.string() + right.string();
  }
  if (operation == "+" && left.is_sequence() && right.is_sequence() && !left.is_iterator() &&
      left.sequence().kind == right.sequence().kind) {
    std::vector<Value> items = left.sequence().items;
    items.insert(items.end(), right.sequence().items.begin(), right.sequence().items.end());
    return Value::sequence(std::move(items), left.sequence().kind);
  }
  if (operation == "*" && can_repeat(left) && is_whole(right)) return repeat(left, right.integer());
  if (operation == "*" && can_repeat(right) && is_whole(left)) return repeat(right, left.integer());
  refuse(operation, left, right);
}

}  // namespace

Value calculate(Context& context, std::string_view operation, const Value& left,
                const Value& right) {
  Value result = calculate_any(operation, left, right);
  context.spend(result.weight());
  return result;
}

Value negate(const Value& value) {
  if (is_whole(value)) return calculate_integers("-", 0, value.integer());
  if (value.is_number()) return -value.number();
  if (value.is_undefined()) throw Failure(fmt::format("'{}' is undefined", value.undefined().name));
  throw Failure(fmt::format("{} has no negative", value.type_name()));
}

bool less(const Value& left, const Value& right) {
  if (is_whole(left) && is_whole(right)) return left.integer() < right.integer();
  if (left.is_number() && right.is_number()) return left.number() < right.number();
  if (left.is_string() && right.is_string()) return left.string() < right.string();
  if (left.is_sequence() && right.is_sequence() && !left.is_iterator() &&
      left.sequence().kind == right.sequence().kind) {
    const auto& a = left.sequence().items;
    const auto& b = right.sequence().items;
    const auto [in_a, in_b] = std::ranges::mismatch(a, b, equal);
    return in_a == a.end() || in_b == b.end() ? in_b != b.end() : less(*in_a, *in_b);
  }
  refuse("<", left, right);
}

bool contains(Context& context, const Value& container, const Value& item) {
  context.spend(container.weight());
  if (container.is_string()) {
    if (!item.is_string()) refuse("in", item, container);
    return container.string().find(item.string()) != std::string::npos;
  }
  if (container.is_dict()) return container.dict().find(item) != nullptr;
  if (!container.is_sequence() && !container.is_undefined()) refuse("in", item, container);
  return std::ranges::any_of(elements(container), [&](const Value& e) { return equal(e, item); });
}

bool compare(Context& context, std::string_view operation, const Value& left, const Value& right) {
  if (operation == "in") return contains(context, right, left);
  if (operation == "not in") return !contains(context, right, left);
  context.spend(std::min(left.weight(), right.weight()));
  if (operation == "==") return equal(left, right);
  if (operation == "!=") return !equal(left, right);
  if (operation == "<") return less(left, right);
  if (operation == ">") return less(right, left);
  // Not the other's opposite, for numbers that are none.
  return equal(left, right) || (operation == "<=" ? less(left, right) : less(right, left));
}

}  // namespace tandem::data::jinja
