#include "data/jinja/access.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/jinja/printing.h"
#include "data/jinja/text.h"

namespace tandem::data::jinja {

namespace {

void refuse_undefined(const Value& object) {
  if (object.is_undefined())
    throw Failure(fmt::format("'{}' is undefined", object.undefined().name));
}

const Value* find_item(const Value& object, std::int64_t index) {
  if (!object.is_sequence() || object.is_iterator()) return nullptr;
  const auto& items = object.sequence().items;
  if (index < 0) index += std::ssize(items);
  return index >= 0 && index < std::ssize(items) ? &items[static_cast<std::size_t>(index)]
                                                 : nullptr;
}

std::optional<Value> character(const std::string& text, std::int64_t index) {
  const auto all = characters(text);
  if (index < 0) index += std::ssize(all);
  if (index < 0 || index >= std::ssize(all)) return std::nullopt;
  return Value(all[static_cast<std::size_t>(index)]);
}

std::optional<std::int64_t> bound(const Value& value) {
  if (value.is_undefined() || value.is_none()) return std::nullopt;
  if (!value.is_integer() && !value.is_bool())
    throw Failure(fmt::format("{} cannot bound a slice", value.type_name()));
  return value.integer();
}

// The indices that Python's slice takes of `length` elements.
std::vector<std::size_t> slice_indices(std::int64_t length, std::optional<std::int64_t> begin,
                                       std::optional<std::int64_t> end, std::int64_t step) {
  if (step == 0) throw Failure("the step of a slice is zero");
  const std::int64_t lowest = step > 0 ? 0 : -1;
  const std::int64_t highest = step > 0 ? length : length - 1;
  const auto place = [&](std::optional<std::int64_t> at, std::int64_t fallback) {
    if (!at) return fallback;
    return std::clamp(*at < 0 ? *at + length : *at, lowest, highest);
  };
  const std::int64_t first = place(begin, step > 0 ? lowest : highest);
  const std::int64_t last = place(end, step > 0 ? highest : lowest);
  step = std::clamp(step, -length - 1, length + 1);  // a larger one takes the same elements
  std::vector<std::size_t> indices;
  for (std::int64_t i = first; step > 0 ? i < last : i > last; i += step)
    indices.push_back(static_cast<std::size_t>(i));
  return indices;
}

}  // namespace

Value get_attribute(const Value& object, const std::string& name) {
  refuse_undefined(object);
  if (const auto method = find_method(object, name)) return *method;
  const Value* found = nullptr;
  if (object.is_dict()) found = object.dict().find(std::string_view(name));
  if (object.is_variables()) {
    const auto& values = object.variables()->values;
    if (const auto there = values.find(name); there != values.end()) found = &there->second;
  }
  return found ? *found : Value(Undefined{name});
}

Value get_item(const Value& object, const Value& index) {
  refuse_undefined(object);
  if (object.is_dict()) {
    if (const Value* found = object.dict().find(index)) return *found;
  } else if (index.is_integer() || index.is_bool()) {
    if (const Value* found = find_item(object, index.integer())) return *found;
    if (object.is_string())
      if (const auto found = character(object.string(), index.integer())) return *found;
  }
  if (index.is_string() && !object.is_dict()) return get_attribute(object, index.string());
  if (index.is_string())
    if (const auto method = find_method(object, index.string())) return *method;
  return Undefined{to_text(index)};
}

Value get_slice(Context& context, const Value& object, const Value& begin, const Value& end,
                const Value& step) {
  refuse_undefined(object);
  const auto first = bound(begin), last = bound(end);
  const std::int64_t stride = bound(step).value_or(1);
  if (object.is_string()) {
    context.spend(object.weight());
    const auto all = characters(object.string());
    std::string text;
    for (const std::size_t i : slice_indices(std::ssize(all), first, last, stride)) text += all[i];
    return text;
  }
  if (!object.is_sequence() || object.is_iterator())
    throw Failure(fmt::format("{} has no slices", object.type_name()));
  const auto& all = object.sequence().items;
  std::vector<Value> items;
  for (const std::size_t i : slice_indices(std::ssize(all), first, last, stride))
    items.push_back(all[i]);
  context.spend(items.size());
  return Value::sequence(std::move(items), object.sequence().kind);
}

}  // namespace tandem::data::jinja
