#include "launcher/recipe/overrides.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "launcher/recipe/suggest.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

using runtime::throw_error;
using Kind = SourceNode::Kind;

namespace {

struct Override {
  std::vector<std::string> path;
  std::string value;
  std::string origin;
};

Override parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  const bool broken =
      key.empty() || key.front() == '.' || key.back() == '.' || key.find("..") != std::string::npos;
  if (equals == std::string::npos || broken)
    throw_error("command line: '{}' is not of the form key.path=value, such as pretrain.steps=10",
                text);
  Override override{{}, text.substr(equals + 1), "command line: " + text};
  for (std::size_t begin = 0; begin <= key.size();) {
    const std::size_t end = std::min(key.find('.', begin), key.size());
    override.path.push_back(key.substr(begin, end - begin));
    begin = end + 1;
  }
  return override;
}

// A section that is not there yet is made; one given by its path alone ("data: FILE") is spelled
// out.
void become_mapping(SourceNode& node, const std::string& origin) {
  if (node.kind == Kind::kNull) node = {.kind = Kind::kMapping, .origin = origin};
  if (node.kind != Kind::kScalar) return;
  SourceNode section{.kind = Kind::kMapping, .origin = node.origin};
  section.entries.push_back({"path", node.origin, std::move(node)});
  node = std::move(section);
}

SourceEntry& entry_for(SourceNode& node, const std::string& key, const std::string& origin) {
  become_mapping(node, origin);
  if (node.kind != Kind::kMapping)
    throw_error("{}: '{}' cannot be set in {}", origin, key, node.shown());
  if (SourceEntry* found = node.find(key)) return *found;
  return node.entries.emplace_back(SourceEntry{key, origin, {.origin = origin}});
}

void set(SourceNode& node, std::span<const std::string> path, const Override& override) {
  SourceEntry& entry = entry_for(node, path.front(), override.origin);
  if (path.size() > 1) {
    set(entry.value, path.subspan(1), override);
    return;
  }
  entry.value = parse_override_value(override.value, override.origin);
  entry.origin = override.origin;
}

std::vector<std::string> stage_names(SourceNode& root) {
  std::vector<std::string> names;
  SourceEntry* stages = root.find("stages");
  if (stages == nullptr) return names;
  for (SourceNode& item : stages->value.items)
    if (const SourceEntry* entry = stage_entry(item)) names.push_back(stage_name(*entry));
  return names;
}

SourceEntry* find_stage(SourceNode& root, const std::string& name) {
  SourceEntry* stages = root.find("stages");
  if (stages == nullptr) return nullptr;
  for (SourceNode& item : stages->value.items)
    if (SourceEntry* entry = stage_entry(item); entry != nullptr && stage_name(*entry) == name)
      return entry;
  return nullptr;
}

void apply(SourceNode& root, const Override& override, std::span<const std::string> top_level) {
  std::span<const std::string> path = override.path;
  if (path.front() != "stages" && std::ranges::find(top_level, path.front()) != top_level.end()) {
    set(root, path, override);
    return;
  }
  const bool full = path.front() == "stages";
  if (full) path = path.subspan(1);
  std::vector<std::string> known = stage_names(root);
  if (path.empty())
    throw_error("{}: stages cannot be replaced from the command line", override.origin);
  if (SourceEntry* stage = find_stage(root, path.front())) {
    if (path.size() == 1)
      throw_error("{}: '{}' is a stage; name one of its keys", override.origin, path.front());
    set(stage->value, path.subspan(1), override);
    return;
  }
  if (!full) known.insert(known.end(), top_level.begin(), top_level.end());
  throw_error("{}: the recipe has no {} '{}'{}", override.origin, full ? "stage" : "key or stage",
              path.front(), suggestion(path.front(), known));
}

}  // namespace

SourceEntry* stage_entry(SourceNode& item) {
  return item.kind == Kind::kMapping && item.entries.size() == 1 ? &item.entries.front() : nullptr;
}

std::string stage_name(const SourceEntry& entry) {
  const SourceEntry* name = entry.value.find("name");
  return name != nullptr && name->value.kind == Kind::kScalar ? name->value.text : entry.key;
}

void apply_overrides(SourceNode& root, std::span<const std::string> overrides,
                     std::span<const std::string> top_level) {
  for (const std::string& text : overrides) apply(root, parse_override(text), top_level);
}

}  // namespace tandem::launcher
