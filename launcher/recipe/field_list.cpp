#include "launcher/recipe/field_list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace tandem::launcher {

using runtime::FieldInfo;

namespace {

constexpr const char* kListOfSections = "list of sections";

std::string yaml_value(bool value) {
  return value ? "true" : "false";
}
std::string yaml_value(std::int64_t value) {
  return fmt::format("{}", value);
}
std::string yaml_value(double value) {
  return fmt::format("{}", value);
}
std::string yaml_value(const std::string& value) {
  return yaml_text(value);
}

template <typename T>
std::string yaml_list(const std::vector<T>& values) {
  std::vector<std::string> texts;
  for (const T& value : values) texts.push_back(yaml_value(value));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

// "a, b or c"
std::string alternatives(std::span<const std::string_view> names) {
  std::string text(names.front());
  for (std::size_t i = 1; i < names.size(); ++i)
    text += fmt::format("{}{}", i + 1 == names.size() ? " or " : ", ", names[i]);
  return text;
}

bool is_plain_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '/';
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::string yaml_text(std::string_view text) {
  const bool plain = !text.empty() && text.front() != '-' && text.front() != '.' &&
                     std::ranges::all_of(text, is_plain_character) && text != "null" &&
                     text != "Null" && text != "NULL";
  return plain ? std::string(text) : quoted(text);
}

void FieldLister::add(const FieldInfo& info, std::string type, std::string value) {
  rows.push_back({.path = prefix_ + std::string(info.name),
                  .name = std::string(info.name),
                  .depth = depth_,
                  .section = type == "section" || (type == kListOfSections && value.empty()),
                  .required = info.required,
                  .type = std::move(type),
                  .value = std::move(value),
                  .help = std::string(info.help),
                  .unit = std::string(info.unit)});
}

void FieldLister::field(const FieldInfo& info, bool& value) {
  add(info, "true or false", yaml_value(value));
}
void FieldLister::field(const FieldInfo& info, std::int64_t& value) {
  add(info, "integer", yaml_value(value));
}
void FieldLister::field(const FieldInfo& info, double& value) {
  add(info, "number", yaml_value(value));
}
void FieldLister::field(const FieldInfo& info, std::string& value) {
  add(info, "text", yaml_value(value));
}
void FieldLister::field(const FieldInfo& info, std::vector<std::string>& value) {
  add(info, "list of text", yaml_list(value));
}
void FieldLister::field(const FieldInfo& info, std::vector<std::int64_t>& value) {
  add(info, "list of integers", yaml_list(value));
}
void FieldLister::field(const FieldInfo& info, std::vector<double>& value) {
  add(info, "list of numbers", yaml_list(value));
}

void FieldLister::visit_choice(const FieldInfo& info, int& index,
                               std::span<const std::string_view> names) {
  add(info, alternatives(names), std::string(names[static_cast<std::size_t>(index)]));
}

void FieldLister::visit_list(const FieldInfo& info, const ListItems& items) {
  add(info, kListOfSections, items.size == 0 ? "[]" : "");
  const std::string outer = prefix_;
  prefix_ += std::string(info.name) + ".";
  ++depth_;
  for (std::size_t i = 0; i < items.size; ++i)
    visit_nested({.name = fmt::format("{}", i)},
                 [&](runtime::FieldVisitor& inner) { items.visit(i, inner); });
  --depth_;
  prefix_ = outer;
}

void FieldLister::visit_nested(const FieldInfo& info,
                               const std::function<void(runtime::FieldVisitor&)>& visit) {
  add(info, "section", "");
  const std::string outer = prefix_;
  prefix_ += std::string(info.name) + ".";
  ++depth_;
  visit(*this);
  --depth_;
  prefix_ = outer;
}

}  // namespace tandem::launcher
