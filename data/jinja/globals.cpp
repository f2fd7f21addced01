#include "data/jinja/globals.h"

#include <fmt/format.h>

#include <array>

#include "data/jinja/arguments.h"
#include "data/jinja/printing.h"

namespace tandem::data::jinja {

namespace {

Value range(Context& context, const CallArguments& arguments) {
  const BoundArguments bound("range", arguments, {"start", "stop", "step"});
  bound.required(0);
  const bool has_start = bound.has(1);
  const std::int64_t start = has_start ? bound.integer(0, 0) : 0;
  const std::int64_t stop = bound.integer(has_start ? 1 : 0, 0);
  const std::int64_t step = bound.integer(2, 1);
  constexpr std::int64_t kMaxRange = 100'000;  // jinja2's sandbox
  if (step == 0) throw Failure("the step of range is zero");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (std::ssize(items) >= kMaxRange)
      throw Failure(fmt::format("range gives at most {} numbers", kMaxRange));
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  context.spend(items.size());
  return Value::list(std::move(items));
}

std::vector<std::pair<Value, Value>> items_of(std::string_view function,
                                              const CallArguments& arguments) {
  std::vector<std::pair<Value, Value>> items;
  if (arguments.positional.size() > 1 ||
      (arguments.positional.size() == 1 && !arguments.positional[0].is_dict()))
    throw Failure(fmt::format("{} takes named arguments and at most one mapping", function));
  if (!arguments.positional.empty()) items = arguments.positional[0].dict().items;
  for (const auto& [name, value] : arguments.keyword) items.emplace_back(name, value);
  return items;
}

Value dict(Context& context, const CallArguments& arguments) {
  Value result = Value::dict(items_of("dict", arguments));
  context.spend(result.weight());
  return result;
}

Value new_namespace(Context& context, const CallArguments& arguments) {
  const auto variables = context.new_variables(nullptr, true);
  for (const auto& [name, value] : items_of("namespace", arguments))
    variables->values[to_text(name)] = value;
  return variables;
}

Value raise_exception(Context&, const CallArguments& arguments) {
  const BoundArguments bound("raise_exception", arguments, {"message"});
  throw Refusal(to_text(bound.required(0)));
}

Value strftime_now(Context& context, const CallArguments& arguments) {
  const BoundArguments bound("strftime_now", arguments, {"format"});
  bound.required(0);
  const std::string format = bound.text(0).value_or("");
  if (format.empty()) return "";
  std::array<char, 4096> buffer;
  const std::size_t length =
      std::strftime(buffer.data(), buffer.size(), format.c_str(), &context.now());
  return std::string(buffer.data(), length);
}

}  // namespace

void add_globals(Variables& variables) {
  const auto add = [&](const char* name, Value (*function)(Context&, const CallArguments&)) {
    variables.values[name] = Function{name, function};
  };
  add("range", range);
  add("dict", dict);
  add("namespace", new_namespace);
  add("raise_exception", raise_exception);
  add("strftime_now", strftime_now);
}

}  // namespace tandem::data::jinja
