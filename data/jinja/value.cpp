#include "data/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/jinja/text.h"

namespace tandem::data::jinja {

namespace {

constexpr std::size_t kMaxWeight = std::size_t{1} << 26;

constexpr int kMaxDepth = 200;

// Counts `item` as a part of `container`, a Sequence or Dict.
template <typename Container>
void add_part(const Value& item, Container& container) {
  check_weight(container.weight += item.weight());
  container.depth = std::max(container.depth, 1 + item.depth());
  if (container.depth > kMaxDepth)
    throw Failure(fmt::format("lists and mappings lie more than {} deep in each other", kMaxDepth));
}

Value number_from_json(const nlohmann::ordered_json& json) {
  if (json.is_number_float()) return json.get<double>();
  if (json.is_number_unsigned() &&
      json.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
    throw Failure("a whole number is too large");
  return json.get<std::int64_t>();
}

}  // namespace

void check_weight(std::size_t weight) {
  if (weight > kMaxWeight) throw Failure(fmt::format("a value grows beyond {} bytes", kMaxWeight));
}

Value::Value(std::string text) {
  check_weight(text.size() + 1);
  data_ = std::make_shared<const std::string>(std::move(text));
}

Value Value::sequence(std::vector<Value> items, Sequence::Kind kind) {
  Sequence sequence{.items = {}, .kind = kind};
  for (const Value& item : items) add_part(item, sequence);
  sequence.items = std::move(items);
  Value value;
  value.data_ = std::make_shared<const Sequence>(std::move(sequence));
  return value;
}

Value Value::dict(std::vector<std::pair<Value, Value>> items) {
  Dict dict;
  for (auto& [key, item] : items) {
    const auto there = std::ranges::find_if(
        dict.items, [&key](const auto& earlier) { return equal(earlier.first, key); });
    if (there != dict.items.end())
      there->second = std::move(item);
    else
      dict.items.emplace_back(std::move(key), std::move(item));
  }
  for (const auto& [key, item] : dict.items) {
    add_part(key, dict);
    add_part(item, dict);
  }
  Value value;
  value.data_ = std::make_shared<const Dict>(std::move(dict));
  return value;
}

Value Value::from_json(const nlohmann::ordered_json& json) {
  if (json.is_null()) return None{};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number()) return number_from_json(json);
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    std::vector<Value> items;
    for (const auto& item : json) items.push_back(from_json(item));
    return list(std::move(items));
  }
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, item] : json.items()) items.emplace_back(key, from_json(item));
  return dict(std::move(items));
}

const Value* Dict::find(const Value& key) const {
  const auto found =
      std::ranges::find_if(items, [&](const auto& item) { return equal(item.first, key); });
  return found == items.end() ? nullptr : &found->second;
}

const Value* Dict::find(std::string_view key) const {
  const auto found = std::ranges::find_if(items, [&](const auto& item) {
    return item.first.is_string() && item.first.string() == key;
  });
  return found == items.end() ? nullptr : &found->second;
}

std::int64_t Value::integer() const {
  return is_bool() ? std::int64_t{boolean()} : std::get<std::int64_t>(data_);
}

double Value::number() const {
  return is<double>() ? std::get<double>(data_) : static_cast<double>(integer());
}

bool Value::truth() const {
  if (is_undefined() || is_none()) return false;
  if (is_number()) return number() != 0;
  if (is_string()) return !string().empty();
  if (is_sequence()) return is_iterator() || !sequence().items.empty();
  if (is_dict()) return !dict().items.empty();
  return true;
}

std::size_t Value::weight() const {
  if (is_string()) return 1 + string().size();
  if (is_sequence()) return sequence().weight;
  if (is_dict()) return dict().weight;
  return 1;
}

int Value::depth() const {
  if (is_sequence()) return sequence().depth;
  return is_dict() ? dict().depth : 0;
}

std::string_view Value::type_name() const {
  if (is_undefined()) return "undefined";
  if (is_none()) return "none";
  if (is_bool()) return "a boolean";
  if (is_integer()) return "an integer";
  if (is_number()) return "a float";
  if (is_string()) return "a string";
  if (is_sequence())
    return is_iterator()                               ? "an iterator"
           : sequence().kind == Sequence::Kind::kTuple ? "a tuple"
                                                       : "a list";
  if (is_dict()) return "a mapping";
  return is_function() ? "a function" : "a namespace";
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const bool whole = !a.is<double>() && !b.is<double>();
    return whole ? a.integer() == b.integer() : a.number() == b.number();
  }
  if (a.is_string() && b.is_string()) return a.string() == b.string();
  if (a.is_sequence() && b.is_sequence())
    return a.sequence().kind == b.sequence().kind && !a.is_iterator() &&
           std::ranges::equal(a.sequence().items, b.sequence().items, equal);
  if (a.is_dict() && b.is_dict())
    return a.dict().items.size() == b.dict().items.size() &&
           std::ranges::all_of(a.dict().items, [&](const auto& item) {
             const Value* other = b.dict().find(item.first);
             return other != nullptr && equal(item.second, *other);
           });
  if (a.is_variables() && b.is_variables()) return a.variables() == b.variables();
  if (a.is_function() && b.is_function()) return &a.function() == &b.function();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

std::vector<Value> elements(const Value& value) {
  if (value.is_undefined()) return {};
  if (value.is_sequence()) return value.sequence().items;
  std::vector<Value> items;
  if (value.is_string())
    for (const std::string_view character : characters(value.string()))
      items.emplace_back(character);
  else if (value.is_dict())
    for (const auto& [key, item] : value.dict().items) items.push_back(key);
  else
    throw Failure(fmt::format("{} cannot be iterated", value.type_name()));
  return items;
}

}  // namespace tandem::data::jinja
