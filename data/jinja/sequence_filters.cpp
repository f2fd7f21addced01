// Filters of lists, mappings and their elements.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "data/jinja/access.h"
#include "data/jinja/filters.h"
#include "data/jinja/operators.h"
#include "data/jinja/text.h"

namespace tandem::data::jinja {

namespace {

Value first_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("first", arguments, {});
  const auto items = elements(input);
  return items.empty() ? Value(Undefined{"the first of nothing"}) : items.front();
}

Value last_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("last", arguments, {});
  if (input.is_iterator()) throw Failure("an iterator has no last element; use | list | last");
  const auto items = elements(input);
  return items.empty() ? Value(Undefined{"the last of nothing"}) : items.back();
}

Value list_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("list", arguments, {});
  return Value::list(elements(input));
}

Value reverse_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("reverse", arguments, {});
  auto items = elements(input);
  std::ranges::reverse(items);
  if (!input.is_string()) return Value::iterator(std::move(items));
  std::string text;
  for (const Value& character : items) text += character.string();
  return text;
}

std::vector<Value> pairs(const Value& dict) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.dict().items) items.push_back(Value::tuple({key, value}));
  return items;
}

Value items_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("items", arguments, {});
  if (input.is_undefined()) return Value::iterator({});
  if (!input.is_dict()) throw Failure(fmt::format("{} has no items", input.type_name()));
  return Value::iterator(pairs(input));
}

// element.a.b, where a and b may be numbers.
Value attribute_of(const Value& element, const Value& path) {
  if (!path.is_string()) return get_item(element, path);
  Value result = element;
  for (const std::string& name : split(path.string(), ".", -1, false)) {
    const bool is_number = !name.empty() && name.size() < 10 &&
                           name.find_first_not_of("0123456789") == std::string::npos;
    result = get_item(result, is_number ? Value(std::stoi(name)) : Value(name));
  }
  return result;
}

CallArguments without_first(const CallArguments& arguments, std::size_t count) {
  CallArguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() +
                            static_cast<std::ptrdiff_t>(std::min(count, rest.positional.size())));
  return rest;
}

std::string name_argument(const CallArguments& arguments, std::size_t index,
                          std::string_view what) {
  if (arguments.positional.size() <= index || !arguments.positional[index].is_string())
    throw Failure(fmt::format("expected {}, a string, as an argument", what));
  return arguments.positional[index].string();
}

// What map, select and their like go through: nothing of what is false.
std::vector<Value> elements_if_true(const Value& input) {
  return input.truth() ? elements(input) : std::vector<Value>();
}

Value map_attribute(const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("map", arguments, {"attribute", "default"});
  std::vector<Value> items;
  for (const Value& item : elements_if_true(input)) {
    Value found = attribute_of(item, bound.required(0));
    items.push_back(found.is_undefined() && bound.has(1) ? bound.get(1) : found);
  }
  return Value::iterator(std::move(items));
}

Value map_filter(Context& context, const Value& input, const CallArguments& arguments) {
  if (arguments.positional.empty()) return map_attribute(input, arguments);
  const std::string name = name_argument(arguments, 0, "the name of a filter");
  const CallArguments rest = without_first(arguments, 1);
  std::vector<Value> items;
  for (const Value& item : elements_if_true(input))
    items.push_back(apply_filter(context, name, item, rest));
  return Value::iterator(std::move(items));
}

template <bool keep>
Value select_filter(Context& context, const Value& input, const CallArguments& arguments) {
  const bool has_test = !arguments.positional.empty();
  const std::string name = has_test ? name_argument(arguments, 0, "the name of a test") : "";
  const CallArguments rest = without_first(arguments, 1);
  std::vector<Value> items;
  for (const Value& item : elements_if_true(input))
    if ((has_test ? apply_test(context, name, item, rest) : item.truth()) == keep)
      items.push_back(item);
  return Value::iterator(std::move(items));
}

template <bool keep>
Value select_attribute_filter(Context& context, const Value& input,
                              const CallArguments& arguments) {
  if (arguments.positional.empty()) throw Failure("selectattr and rejectattr need an attribute");
  const bool has_test = arguments.positional.size() > 1;
  const std::string name = has_test ? name_argument(arguments, 1, "the name of a test") : "";
  const CallArguments rest = without_first(arguments, 2);
  std::vector<Value> items;
  for (const Value& item : elements_if_true(input)) {
    const Value attribute = attribute_of(item, arguments.positional[0]);
    if ((has_test ? apply_test(context, name, attribute, rest) : attribute.truth()) == keep)
      items.push_back(item);
  }
  return Value::iterator(std::move(items));
}

// Without a difference between large and small letters, unless wanted.
Value sort_key(const Value& value, bool case_sensitive) {
  return value.is_string() && !case_sensitive ? Value(to_lower(value.string())) : value;
}

template <typename Key>
void sort_items(Context& context, std::vector<Value>& items, bool reverse, Key key) {
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : items) keyed.emplace_back(key(item), std::move(item));
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    context.spend(std::min(a.first.weight(), b.first.weight()));
    return reverse ? less(b.first, a.first) : less(a.first, b.first);
  });
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = std::move(keyed[i].second);
}

Value sort_filter(Context& context, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  auto items = elements(input);
  sort_items(context, items, bound.flag(0, false), [&](const Value& item) {
    return sort_key(bound.has(2) ? attribute_of(item, bound.get(2)) : item, bound.flag(1, false));
  });
  return Value::list(std::move(items));
}

Value dictsort_filter(Context& context, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (!input.is_dict()) throw Failure(fmt::format("{} has no items", input.type_name()));
  const std::string by = bound.text(1).value_or("key");
  if (by != "key" && by != "value") throw Failure("dictsort sorts by 'key' or 'value'");
  auto items = pairs(input);
  sort_items(context, items, bound.flag(2, false), [&](const Value& item) {
    return sort_key(item.sequence().items[by == "key" ? 0 : 1], bound.flag(0, false));
  });
  return Value::list(std::move(items));
}

Value unique_filter(Context& context, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("unique", arguments, {"case_sensitive", "attribute"});
  std::vector<Value> items, keys;
  for (const Value& item : elements(input)) {
    const Value key =
        sort_key(bound.has(1) ? attribute_of(item, bound.get(1)) : item, bound.flag(0, false));
    context.spend(keys.size());
    if (std::ranges::any_of(keys, [&](const Value& earlier) { return equal(earlier, key); }))
      continue;
    keys.push_back(key);
    items.push_back(item);
  }
  return Value::iterator(std::move(items));
}

template <bool smallest>
Value extreme_filter(Context& context, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound(smallest ? "min" : "max", arguments, {"case_sensitive", "attribute"});
  const std::vector<Value> items = elements(input);
  const auto key = [&](const Value& item) {
    return sort_key(bound.has(1) ? attribute_of(item, bound.get(1)) : item, bound.flag(0, false));
  };
  if (items.empty()) return Value();
  const Value* best = &items.front();
  for (const Value& item : items) {
    context.spend(item.weight());
    if (smallest ? less(key(item), key(*best)) : less(key(*best), key(item))) best = &item;
  }
  return *best;
}

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> filters = {
      {"first", first_filter},
      {"last", last_filter},
      {"list", list_filter},
      {"reverse", reverse_filter},
      {"items", items_filter},
      {"map", map_filter},
      {"select", select_filter<true>},
      {"reject", select_filter<false>},
      {"selectattr", select_attribute_filter<true>},
      {"rejectattr", select_attribute_filter<false>},
      {"sort", sort_filter},
      {"dictsort", dictsort_filter},
      {"unique", unique_filter},
      {"min", extreme_filter<true>},
      {"max", extreme_filter<false>},
  };
  const auto found = filters.find(name);
  return found == filters.end() ? nullptr : found->second;
}

}  // namespace tandem::data::jinja
