// Filters that give a text. What is no string becomes one, as in jinja2.
#include <algorithm>
#include <map>

#include "data/jinja/filters.h"
#include "data/jinja/printing.h"
#include "data/jinja/text.h"

namespace tandem::data::jinja {

namespace {

template <std::string (*change)(std::string_view)>
Value change_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("a filter of texts", arguments, {});
  return change(to_text(input));
}

std::string unchanged(std::string_view text) {
  return std::string(text);
}

// Every word large, where words begin behind white space and - ( { [ <.
std::string title(std::string_view text) {
  std::string result, word;
  const auto flush = [&] {
    if (word.empty()) return;
    const std::size_t first = characters(word).front().size();
    result += to_upper(word.substr(0, first)) + to_lower(word.substr(first));
    word.clear();
  };
  for (const std::string_view character : characters(text)) {
    const bool between = strip(character, Side::kBoth).empty() ||
                         std::string_view("-({[<").find(character) != std::string_view::npos;
    if (between) flush();
    (between ? result : word) += character;
  }
  flush();
  return result;
}

std::string escape(std::string_view text) {
  std::string result;
  for (const char c : text) {
    constexpr std::string_view kSigns = "&<>'\"";
    constexpr std::string_view kNames[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    if (const std::size_t at = kSigns.find(c); at != std::string_view::npos)
      result += kNames[at];
    else
      result += c;
  }
  return result;
}

Value trim_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("trim", arguments, {"chars"});
  return strip(to_text(input), Side::kBoth, bound.text(0));
}

Value replace_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"});
  return replace(to_text(input), to_text(bound.required(0)), to_text(bound.required(1)),
                 bound.integer(2, -1));
}

Value indent_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("indent", arguments, {"width", "first", "blank"});
  const bool first = bound.flag(1, false), blank = bound.flag(2, false);
  std::string indentation;
  if (bound.get(0).is_string()) {
    indentation = bound.get(0).string();
  } else {
    const std::int64_t width = std::max<std::int64_t>(bound.integer(0, 4), 0);
    check_weight(static_cast<std::size_t>(width));
    indentation.assign(static_cast<std::size_t>(width), ' ');
  }
  std::string text = first ? indentation : "";
  const auto lines = split_lines(to_text(input) + "\n");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) text += '\n';
    if (i > 0 && (blank || !lines[i].empty())) text += indentation;
    text += lines[i];
    check_weight(text.size());
  }
  return text;
}

Value join_filter(Context&, const Value& input, const CallArguments& arguments) {
  const BoundArguments bound("join", arguments, {"d", "attribute"});
  const std::string between = bound.has(0) ? to_text(bound.get(0)) : "";
  if (bound.has(1)) throw Failure("join with an attribute is not supported; use map(attribute=…)");
  std::string text;
  bool is_first = true;
  for (const Value& item : elements(input)) {
    if (!is_first) text += between;
    is_first = false;
    text += to_text(item);
    check_weight(text.size());
  }
  return text;
}

}  // namespace

FilterFunction find_text_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> filters = {
      {"upper", change_filter<to_upper>},
      {"lower", change_filter<to_lower>},
      {"title", change_filter<title>},
      {"capitalize", change_filter<capitalized>},
      {"string", change_filter<unchanged>},
      {"safe", change_filter<unchanged>},
      {"escape", change_filter<escape>},
      {"e", change_filter<escape>},
      {"trim", trim_filter},
      {"replace", replace_filter},
      {"indent", indent_filter},
      {"join", join_filter},
  };
  const auto found = filters.find(name);
  return found == filters.end() ? nullptr : found->second;
}

}  // namespace tandem::data::jinja
