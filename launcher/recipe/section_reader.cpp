#include "launcher/recipe/section_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "launcher/recipe/suggest.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

using runtime::FieldInfo;
using runtime::FieldVisitor;
using runtime::throw_error;
using Kind = SourceNode::Kind;

namespace {

bool parse_plain(const SourceNode& node, std::int64_t& value) {
  const char* end = node.text.data() + node.text.size();
  return !node.quoted &&
         std::from_chars(node.text.data(), end, value) == std::from_chars_result{end, std::errc{}};
}

bool parse_plain(const SourceNode& node, double& value) {
  const char* end = node.text.data() + node.text.size();
  return !node.quoted &&
         std::from_chars(node.text.data(), end, value) ==
             std::from_chars_result{end, std::errc{}} &&
         std::isfinite(value);
}

bool parse_plain(const SourceNode& node, bool& value) {
  value = node.text == "true";
  return !node.quoted && (value || node.text == "false");
}

bool parse_plain(const SourceNode& node, std::string& value) {
  value = node.text;
  return true;
}

// What was typed on the command line is a text, also where YAML would see more in it.
template <typename T>
bool is_one_value(const SourceNode& node) {
  return node.kind == Kind::kScalar || (std::is_same_v<T, std::string> && !node.text.empty());
}

template <typename T>
constexpr std::string_view kExpected = "text";
template <>
constexpr std::string_view kExpected<bool> = "true or false";
template <>
constexpr std::string_view kExpected<std::int64_t> = "an integer";
template <>
constexpr std::string_view kExpected<double> = "a number";

// Collects the names of a section's own fields.
class NameCollector final : public FieldVisitor {
 public:
  std::vector<std::string> names;

  void field(const FieldInfo& info, bool&) override { names.emplace_back(info.name); }
  void field(const FieldInfo& info, std::int64_t&) override { names.emplace_back(info.name); }
  void field(const FieldInfo& info, double&) override { names.emplace_back(info.name); }
  void field(const FieldInfo& info, std::string&) override { names.emplace_back(info.name); }
  void field(const FieldInfo& info, std::vector<std::string>&) override {
    names.emplace_back(info.name);
  }
  void field(const FieldInfo& info, std::vector<std::int64_t>&) override {
    names.emplace_back(info.name);
  }
  void field(const FieldInfo& info, std::vector<double>&) override {
    names.emplace_back(info.name);
  }

 protected:
  void visit_choice(const FieldInfo& info, int&, std::span<const std::string_view>) override {
    names.emplace_back(info.name);
  }
  void visit_nested(const FieldInfo& info, const std::function<void(FieldVisitor&)>&) override {
    names.emplace_back(info.name);
  }
  void visit_list(const FieldInfo& info, const ListItems&) override {
    names.emplace_back(info.name);
  }
};

// {path: <the scalar>}
SourceNode as_path_section(const SourceNode& scalar) {
  SourceNode section{.kind = Kind::kMapping, .origin = scalar.origin};
  section.entries.push_back({"path", scalar.origin, scalar});
  return section;
}

std::string unknown_key(const SourceEntry& entry, std::span<const std::string> known,
                        std::span<const std::string> nested) {
  for (const std::string& path : nested)
    if (path.ends_with("." + entry.key))
      return fmt::format("unknown key '{}' (did you mean '{}'?)", entry.key, path);
  std::string meant = suggestion(entry.key, known);
  // One level down, only the last part was mistyped.
  for (std::size_t i = 0; i < nested.size() && meant.empty(); ++i)
    if (!closest(entry.key, std::array{nested[i].substr(nested[i].rfind('.') + 1)}).empty())
      meant = fmt::format(" (did you mean '{}'?)", nested[i]);
  return fmt::format("unknown key '{}'{}", entry.key, meant);
}

}  // namespace

std::string Origins::of(std::string path) const {
  for (;;) {
    if (const auto found = origins_.find(path); found != origins_.end()) return found->second;
    if (path.empty()) return "recipe";
    const std::size_t dot = path.rfind('.');
    path.resize(dot == std::string::npos ? 0 : dot);
  }
}

SectionReader::SectionReader(const SourceNode& node, std::string path, Origins& origins)
    : node_(node), path_(std::move(path)), origins_(origins) {
  if (node.kind != Kind::kMapping && node.kind != Kind::kNull)
    throw_error("{}: '{}' must be a mapping of keys to values, got {}", node.origin,
                path_.substr(path_.rfind('.') + 1), node.shown());
  if (!origins_.given(path_)) origins_.set(path_, node.origin);
}

std::string SectionReader::join(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const SourceNode* SectionReader::value_of(const FieldInfo& info) {
  known_.emplace_back(info.name);
  if (const SourceEntry* entry = node_.find(info.name)) {
    origins_.set(join(info.name), entry->origin);
    return &entry->value;
  }
  if (info.required)
    add_problem(fmt::format("{}: '{}' is missing: {}", origins_.of(path_), info.name, info.help));
  return nullptr;
}

template <typename T>
void SectionReader::read(const FieldInfo& info, T& value) {
  const SourceNode* node = value_of(info);
  if (node == nullptr) return;
  T parsed{};
  if (is_one_value<T>(*node) && parse_plain(*node, parsed)) {
    value = std::move(parsed);
  } else {
    add_problem(fmt::format("{}: '{}' must be {}, got {}", node->origin, info.name, kExpected<T>,
                            node->shown()));
  }
}

template <typename T>
void SectionReader::read_list(const FieldInfo& info, std::vector<T>& value) {
  const SourceNode* node = value_of(info);
  if (node == nullptr) return;
  value.clear();
  if (node->kind != Kind::kList) {
    add_problem(
        fmt::format("{}: '{}' must be a list, got {}", node->origin, info.name, node->shown()));
    return;
  }
  for (const SourceNode& item : node->items) {
    T parsed{};
    if (item.kind != Kind::kScalar || !parse_plain(item, parsed)) {
      add_problem(fmt::format("{}: each item of '{}' must be {}, got {}", item.origin, info.name,
                              kExpected<T>, item.shown()));
      return;
    }
    value.push_back(std::move(parsed));
  }
}

void SectionReader::field(const FieldInfo& info, bool& value) {
  read(info, value);
}
void SectionReader::field(const FieldInfo& info, std::int64_t& value) {
  read(info, value);
}
void SectionReader::field(const FieldInfo& info, double& value) {
  read(info, value);
}
void SectionReader::field(const FieldInfo& info, std::string& value) {
  read(info, value);
}
void SectionReader::field(const FieldInfo& info, std::vector<std::string>& value) {
  read_list(info, value);
}
void SectionReader::field(const FieldInfo& info, std::vector<std::int64_t>& value) {
  read_list(info, value);
}
void SectionReader::field(const FieldInfo& info, std::vector<double>& value) {
  read_list(info, value);
}

void SectionReader::visit_choice(const FieldInfo& info, int& index,
                                 std::span<const std::string_view> names) {
  const SourceNode* node = value_of(info);
  if (node == nullptr) return;
  const auto found = std::ranges::find(names, std::string_view(node->text));
  if (node->kind == Kind::kScalar && found != names.end()) {
    index = static_cast<int>(found - names.begin());
  } else {
    add_problem(fmt::format("{}: '{}' must be one of {}; got {}", node->origin, info.name,
                            fmt::join(names, ", "), node->shown()));
  }
}

void SectionReader::visit_nested(const FieldInfo& info,
                                 const std::function<void(FieldVisitor&)>& visit) {
  NameCollector inner;
  visit(inner);
  for (const std::string& name : inner.names)
    nested_.push_back(fmt::format("{}.{}", info.name, name));
  const SourceNode* node = value_of(info);
  if (node != nullptr) read_inner(*node, join(info.name), inner.names, visit);
}

void SectionReader::visit_list(const FieldInfo& info, const ListItems& items) {
  const SourceNode* node = value_of(info);
  if (node == nullptr) return;
  if (node->kind != Kind::kList) {
    add_problem(fmt::format("{}: '{}' must be a list of sections, got {}", node->origin, info.name,
                            node->shown()));
    return;
  }
  items.resize(node->items.size());
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    const auto visit = [&](FieldVisitor& inner) { items.visit(i, inner); };
    NameCollector names;
    visit(names);
    read_inner(node->items[i], fmt::format("{}.{}", join(info.name), i), names.names, visit);
  }
}

void SectionReader::read_inner(const SourceNode& node, const std::string& path,
                               std::span<const std::string> names,
                               const std::function<void(FieldVisitor&)>& visit) {
  const bool shorthand = node.kind == Kind::kScalar && !names.empty() && names.front() == "path";
  const SourceNode section = shorthand ? as_path_section(node) : node;
  SectionReader reader(section, path, origins_);
  visit(reader);
  reader.finish();
}

void SectionReader::finish() const {
  for (const SourceEntry& entry : node_.entries)
    if (std::ranges::find(known_, entry.key) == known_.end())
      throw_error("{}: {}", entry.origin, unknown_key(entry, known_, nested_));
  if (!problems_.empty()) throw_error("{}", problems_.front());
}

}  // namespace tandem::launcher
