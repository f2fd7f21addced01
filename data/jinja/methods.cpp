// The methods of Python's str, list and dict that templates use. What would change a value is not
// there: the sandbox forbids it.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "data/jinja/access.h"
#include "data/jinja/printing.h"
#include "data/jinja/text.h"
#include "data/utf8.h"

namespace tandem::data::jinja {

namespace {

using Method = Value (*)(const Value& self, const CallArguments& arguments);
using Methods = std::map<std::string, Method, std::less<>>;

template <Side side>
Value strip_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("strip", arguments, {"chars"});
  return strip(self.string(), side, bound.text(0));
}

template <bool from_right>
Value split_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("split", arguments, {"sep", "maxsplit"});
  std::vector<Value> parts;
  for (std::string& part : split(self.string(), bound.text(0), bound.integer(1, -1), from_right))
    parts.emplace_back(std::move(part));
  return Value::list(std::move(parts));
}

Value split_lines_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("splitlines", arguments, {});
  std::vector<Value> lines;
  for (std::string& line : split_lines(self.string())) lines.emplace_back(std::move(line));
  return Value::list(std::move(lines));
}

template <bool at_start>
bool has_end(const std::string& text, const Value& part) {
  if (!part.is_string())
    throw Failure(
        fmt::format("startswith and endswith take a string or a tuple, not {}", part.type_name()));
  return at_start ? text.starts_with(part.string()) : text.ends_with(part.string());
}

template <bool at_start>
Value has_end_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound(at_start ? "startswith" : "endswith", arguments, {"part"});
  const Value& part = bound.required(0);
  if (!part.is_sequence() || part.sequence().kind != Sequence::Kind::kTuple)
    return has_end<at_start>(self.string(), part);
  return std::ranges::any_of(part.sequence().items, [&](const Value& item) {
    return has_end<at_start>(self.string(), item);
  });
}

template <bool at_start>
Value remove_end_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound(at_start ? "removeprefix" : "removesuffix", arguments, {"part"});
  const Value& part = bound.required(0);
  const std::string& text = self.string();
  if (part.truth() && has_end<at_start>(text, part)) {
    const std::size_t length = text.size() - part.string().size();
    return text.substr(at_start ? part.string().size() : 0, length);
  }
  return self;
}

template <std::string (*change)(std::string_view)>
Value case_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("a method that changes case", arguments, {});
  return change(self.string());
}

Value replace_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"});
  bound.required(1);
  return replace(self.string(), bound.text(0).value_or(""), bound.text(1).value_or(""),
                 bound.integer(2, -1));
}

template <bool from_right>
Value find_method_of_text(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound(from_right ? "rfind" : "find", arguments, {"part"});
  bound.required(0);
  const std::string part = bound.text(0).value_or("");
  const std::size_t at = from_right ? self.string().rfind(part) : self.string().find(part);
  if (at == std::string::npos) return -1;
  return count_characters(std::string_view(self.string()).substr(0, at));
}

Value count_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("count", arguments, {"value"});
  const Value& wanted = bound.required(0);
  if (self.is_sequence())
    return static_cast<std::int64_t>(std::ranges::count_if(
        self.sequence().items, [&](const Value& item) { return equal(item, wanted); }));
  const std::string part = bound.text(0).value_or("");
  if (part.empty()) return count_characters(self.string()) + 1;
  std::int64_t count = 0;
  for (std::size_t at = 0; (at = self.string().find(part, at)) != std::string::npos; ++count)
    at += part.size();
  return count;
}

Value join_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("join", arguments, {"parts"});
  std::string text;
  bool first = true;
  for (const Value& part : elements(bound.required(0))) {
    if (!part.is_string())
      throw Failure(fmt::format("join takes strings, not {}", part.type_name()));
    if (!first) text += self.string();
    first = false;
    text += part.string();
    check_weight(text.size());
  }
  return text;
}

// The value of a replacement field: {} the next argument, {1} or {name} that one.
Value field_value(std::string_view field, std::size_t& next, const CallArguments& arguments) {
  if (field.find_first_of("!:.[") != std::string_view::npos)
    throw Failure(fmt::format("format: '{{{}}}' with more than a name is not supported", field));
  const bool is_number = field.find_first_not_of("0123456789") == std::string_view::npos;
  if (is_number) {
    if (field.size() > 4) throw Failure(fmt::format("format: there is no argument {}", field));
    const std::size_t index = field.empty() ? next++ : std::stoul(std::string(field));
    if (index >= arguments.positional.size())
      throw Failure(fmt::format("format: there is no argument {}", index));
    return arguments.positional[index];
  }
  const auto found =
      std::ranges::find(arguments.keyword, field, &std::pair<std::string, Value>::first);
  if (found == arguments.keyword.end())
    throw Failure(fmt::format("format: there is no argument '{}'", field));
  return found->second;
}

Value format_method(const Value& self, const CallArguments& arguments) {
  const std::string_view text = self.string();
  std::string result;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      result += c;
    } else if (at + 1 < text.size() && text[at + 1] == c) {
      result += text[at++];
    } else {
      const std::size_t end = c == '{' ? text.find('}', at) : std::string_view::npos;
      if (end == std::string_view::npos) throw Failure("format: a brace without its other one");
      result += to_text(field_value(text.substr(at + 1, end - at - 1), next, arguments));
      at = end;
    }
    check_weight(result.size());
  }
  return result;
}

template <bool (*holds)(char32_t)>
Value all_characters(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("a method that looks at characters", arguments, {});
  return !self.string().empty() &&
         std::ranges::all_of(characters(self.string()), [](std::string_view character) {
           return holds(decode_utf8(character, 0).value);
         });
}

bool is_ascii_digit(char32_t c) {
  return c >= '0' && c <= '9';
}

Value index_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("index", arguments, {"value"});
  const auto& items = self.sequence().items;
  const auto found = std::ranges::find_if(
      items, [&](const Value& item) { return equal(item, bound.required(0)); });
  if (found == items.end()) throw Failure("index: the list does not hold this value");
  return static_cast<std::int64_t>(found - items.begin());
}

template <int part>  // 0 keys, 1 values, 2 pairs
Value items_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("keys, values and items", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().items)
    items.push_back(part == 0 ? key : part == 1 ? value : Value::tuple({key, value}));
  return Value::list(std::move(items));
}

Value get_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("get", arguments, {"key", "default"});
  if (const Value* found = self.dict().find(bound.required(0))) return *found;
  return bound.has(1) ? bound.get(1) : Value(None{});
}

Value copy_method(const Value& self, const CallArguments& arguments) {
  const BoundArguments bound("copy", arguments, {});
  return self;
}

const Methods& methods_of(const Value& object) {
  static const Methods text = {
      {"strip", strip_method<Side::kBoth>},
      {"lstrip", strip_method<Side::kLeft>},
      {"rstrip", strip_method<Side::kRight>},
      {"split", split_method<false>},
      {"rsplit", split_method<true>},
      {"splitlines", split_lines_method},
      {"startswith", has_end_method<true>},
      {"endswith", has_end_method<false>},
      {"removeprefix", remove_end_method<true>},
      {"removesuffix", remove_end_method<false>},
      {"upper", case_method<to_upper>},
      {"lower", case_method<to_lower>},
      {"title", case_method<title_case>},
      {"capitalize", case_method<capitalized>},
      {"replace", replace_method},
      {"find", find_method_of_text<false>},
      {"rfind", find_method_of_text<true>},
      {"count", count_method},
      {"join", join_method},
      {"format", format_method},
      {"isspace", all_characters<is_space>},
      {"isdigit", all_characters<is_ascii_digit>},
  };
  static const Methods list = {
      {"index", index_method}, {"count", count_method}, {"copy", copy_method}};
  static const Methods dict = {{"keys", items_method<0>},
                               {"values", items_method<1>},
                               {"items", items_method<2>},
                               {"get", get_method},
                               {"copy", copy_method}};
  static const Methods none;
  if (object.is_string()) return text;
  if (object.is_dict()) return dict;
  return object.is_sequence() && !object.is_iterator() ? list : none;
}

// Methods that the sandbox hides, together with a key of that name.
constexpr std::string_view kHidden[] = {"pop", "popitem", "clear", "update", "setdefault"};

}  // namespace

std::optional<Value> find_method(const Value& object, const std::string& name) {
  const Methods& methods = methods_of(object);
  if (const auto found = methods.find(name); found != methods.end()) {
    const auto run = [self = object, method = found->second](Context& context,
                                                             const CallArguments& arguments) {
      context.spend(self.is_dict() ? self.dict().items.size() : self.weight());
      Value result = method(self, arguments);
      context.spend(result.weight());
      return result;
    };
    return Function{name, run};
  }
  if (object.is_dict() && std::ranges::find(kHidden, name) != std::end(kHidden))
    return Undefined{name};
  return std::nullopt;
}

}  // namespace tandem::data::jinja
