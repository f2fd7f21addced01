#include "data/jinja/printing.h"

#include <fmt/format.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/utf8.h"

namespace tandem::data::jinja {

namespace {

// float.__repr__: the shortest digits that give the number back; with an exponent below 1e-4 and
// from 1e16 on.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[400];
  const double size = std::fabs(value);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer, end.ptr);
  if (fixed && text.find('.') == std::string::npos) text += ".0";
  return text;
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  constexpr std::uint32_t kHidden = U_GC_C_MASK | U_GC_Z_MASK;
  return (U_MASK(u_charType(static_cast<UChar32>(c))) & kHidden) == 0;
}

std::string string_repr(std::string_view text) {
  const bool twice =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = twice ? '"' : '\'';
  std::string result(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (c.value == static_cast<char32_t>(quote) || c.value == '\\')
      result += fmt::format("\\{}", static_cast<char>(c.value));
    else if (c.value == '\n')
      result += "\\n";
    else if (c.value == '\r')
      result += "\\r";
    else if (c.value == '\t')
      result += "\\t";
    else if (is_printable(c.value))
      result += text.substr(at, c.length);
    else if (c.value < 0x100)
      result += fmt::format("\\x{:02x}", static_cast<std::uint32_t>(c.value));
    else if (c.value < 0x10000)
      result += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c.value));
    else
      result += fmt::format("\\U{:08x}", static_cast<std::uint32_t>(c.value));
    at += c.length;
  }
  return result += quote;
}

std::string sequence_repr(const Sequence& sequence) {
  const bool is_tuple = sequence.kind == Sequence::Kind::kTuple;
  std::string text(1, is_tuple ? '(' : '[');
  for (const Value& item : sequence.items) {
    if (&item != &sequence.items.front()) text += ", ";
    text += to_repr(item);
  }
  if (is_tuple && sequence.items.size() == 1) text += ',';
  return text += is_tuple ? ')' : ']';
}

std::string dict_repr(const Dict& dict) {
  std::string text = "{";
  for (const auto& [key, item] : dict.items) {
    if (text.size() > 1) text += ", ";
    text += to_repr(key) + ": " + to_repr(item);
  }
  return text += '}';
}

void append_utf16_escapes(char32_t c, std::string& out) {
  const auto unit = [&](std::uint32_t value) { out += fmt::format("\\u{:04x}", value); };
  if (c < 0x10000) return unit(c);
  const std::uint32_t rest = static_cast<std::uint32_t>(c) - 0x10000;
  unit(0xD800 + (rest >> 10));
  unit(0xDC00 + (rest & 0x3FF));
}

std::string json_string(std::string_view text, bool ascii) {
  std::string result = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    constexpr std::string_view kShort = "\b\f\n\r\t\"\\", kNames = "bfnrt\"\\";
    const std::size_t known =
        c.value < 0x80 ? kShort.find(static_cast<char>(c.value)) : std::string_view::npos;
    if (known != std::string_view::npos)
      result += fmt::format("\\{}", kNames[known]);
    else if (c.value < 0x20 || (ascii && c.value > 0x7E))
      append_utf16_escapes(c.value, result);
    else
      result += text.substr(at, c.length);
    at += c.length;
  }
  return result += '"';
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  std::string take() { return std::move(text_); }

  void write(const Value& value) {
    check_weight(text_.size());
    if (value.is_none())
      text_ += "null";
    else if (value.is_bool())
      text_ += value.boolean() ? "true" : "false";
    else if (value.is_integer())
      text_ += std::to_string(value.integer());
    else if (value.is_number())
      text_ += json_float(value.number());
    else if (value.is_string())
      text_ += json_string(value.string(), style_.ascii);
    else if (value.is_sequence() && !value.is_iterator())
      write_list(value.sequence().items);
    else if (value.is_dict())
      write_dict(value.dict().items);
    else
      throw Failure(fmt::format("{} has no form in JSON", value.type_name()));
  }

 private:
  template <typename Items, typename Each>
  void write_items(char open, const Items& items, char close, Each each) {
    text_ += open;
    ++level_;
    bool first = true;
    for (const auto& item : items) {
      if (!first) text_ += style_.between;
      first = false;
      new_line();
      each(item);
    }
    --level_;
    if (!first) new_line();
    text_ += close;
  }

  void write_list(const std::vector<Value>& items) {
    write_items('[', items, ']', [&](const Value& item) { write(item); });
  }

  void write_dict(std::vector<std::pair<Value, Value>> items) {
    if (style_.sort_keys)
      std::ranges::stable_sort(items, {}, [](const auto& item) { return key_text(item.first); });
    write_items('{', items, '}', [&](const auto& item) {
      text_ += json_string(key_text(item.first), style_.ascii) + style_.after_key;
      write(item.second);
    });
  }

  static std::string key_text(const Value& key) {
    if (key.is_string()) return key.string();
    if (key.is_sequence() || key.is_dict())
      throw Failure(fmt::format("{} is no key in JSON", key.type_name()));
    return to_json(key, {});
  }

  void new_line() {
    if (!style_.indent) return;
    text_ += '\n';
    for (int i = 0; i < level_; ++i) text_ += *style_.indent;
    check_weight(text_.size());
  }

  const JsonStyle& style_;
  std::string text_;
  int level_ = 0;
};

}  // namespace

std::string to_repr(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "None";
  if (value.is_bool()) return value.boolean() ? "True" : "False";
  if (value.is_integer()) return std::to_string(value.integer());
  if (value.is_number()) return float_repr(value.number());
  if (value.is_string()) return string_repr(value.string());
  if (value.is_sequence()) return sequence_repr(value.sequence());
  if (value.is_dict()) return dict_repr(value.dict());
  return value.is_function() ? fmt::format("<function {}>", value.function().name) : "<namespace>";
}

std::string to_text(const Value& value) {
  if (value.is_undefined()) return "";
  return value.is_string() ? value.string() : to_repr(value);
}

std::string to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value);
  return writer.take();
}

}  // namespace tandem::data::jinja
