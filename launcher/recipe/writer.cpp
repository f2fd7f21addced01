#include "launcher/recipe/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "launcher/recipe/field_list.h"

namespace tandem::launcher {

namespace {

// Keys and sections that do not change what a stage computes.
constexpr std::array<std::string_view, 13> kWithoutEffect = {
    "layout",    "placement",  "services",     "micro_batch_size", "recompute",
    "log_every", "eval_every", "eval_samples", "save_every",       "keep_checkpoints",
    "samples",   "name",       "shown"};

std::vector<FieldRow> rows_of(const StageConfig& config) {
  return std::visit([](const auto& stage) { return list_fields(stage); }, config);
}

// An optional data section that names no file and no sources is not there at all.
bool is_unused_section(const std::vector<FieldRow>& rows, std::size_t index) {
  const std::string& path = rows[index].path;
  return rows[index].section && index + 1 < rows.size() && rows[index + 1].path == path + ".path" &&
         rows[index + 1].value == "\"\"" && std::ranges::none_of(rows, [&](const FieldRow& row) {
           return row.section && row.path == path + ".sources";
         });
}

// A number stands for an item of a list.
bool is_list_item(const FieldRow& row) {
  return row.section && row.name.find_first_not_of("0123456789") == row.name.npos;
}

std::vector<FieldRow> without_unused_sections(const std::vector<FieldRow>& rows) {
  std::vector<FieldRow> kept;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!is_unused_section(rows, i)) {
      kept.push_back(rows[i]);
      continue;
    }
    const std::string prefix = rows[i].path + ".";
    while (i + 1 < rows.size() && rows[i + 1].path.starts_with(prefix)) ++i;
  }
  return kept;
}

std::string write_rows(const std::vector<FieldRow>& rows, const std::vector<FieldRow>& defaults,
                       int indent) {
  std::map<std::string, std::string> default_of;
  for (const FieldRow& row : defaults) default_of[row.path] = row.value;
  std::string text;
  for (const FieldRow& row : without_unused_sections(rows)) {
    text += std::string(static_cast<std::size_t>(indent + 2 * row.depth), ' ') +
            (is_list_item(row) ? "-" : row.name + ":");
    if (!row.section) text += " " + row.value;
    const auto fallback = default_of.find(row.path);
    if (!row.section && !row.required && fallback != default_of.end() &&
        row.value != fallback->second)
      text += fmt::format("  # default: {}", fallback->second);
    text += '\n';
  }
  return text;
}

// A model that comes from a directory brings its sizes.
std::vector<FieldRow> recipe_rows(const Recipe& recipe) {
  std::vector<FieldRow> rows = list_fields(recipe);
  if (!recipe.model.from.empty())
    std::erase_if(rows, [](const FieldRow& row) {
      return row.path.starts_with("model.") && row.name != "from";
    });
  return rows;
}

// A role's precision stands in its placement and yet changes what it computes.
bool has_effect(const std::string& path) {
  if (path.ends_with("precision")) return true;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    if (std::ranges::find(kWithoutEffect, std::string_view(path).substr(begin, end - begin)) !=
        kWithoutEffect.end())
      return false;
    begin = end + 1;
  }
  return true;
}

std::string effective_lines(const std::vector<FieldRow>& rows, const std::string& prefix) {
  std::string text;
  for (const FieldRow& row : without_unused_sections(rows))
    if (!row.section && has_effect(row.path))
      text += fmt::format("{}{}: {}\n", prefix, row.path, row.value);
  return text;
}

std::string model_lines(const Recipe& recipe) {
  std::vector<FieldRow> rows = recipe_rows(recipe);
  std::erase_if(rows, [](const FieldRow& row) { return !row.path.starts_with("model."); });
  return effective_lines(rows, "recipe.");
}

std::map<std::string, std::string> lines_by_key(std::string_view text) {
  std::map<std::string, std::string> lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t colon = line.find(": ");
    if (colon != line.npos) lines.emplace(line.substr(0, colon), line.substr(colon + 2));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return lines;
}

bool starts_from_model_section(const StageConfig& config) {
  return std::visit(
      [](const auto& stage) {
        if constexpr (requires { stage.from; }) return stage.from.empty();
        return false;
      },
      config);
}

}  // namespace

std::string to_yaml(const Recipe& recipe) {
  std::string text = fmt::format("# {} with every key, as it was run.\n", recipe.file);
  text += write_rows(recipe_rows(recipe), list_fields(Recipe{}), 0);
  text += "stages:\n";
  for (const Stage& stage : recipe.stages) {
    text += fmt::format("  - {}:\n      name: {}\n", name_of(stage.kind()), yaml_text(stage.name));
    text += write_rows(rows_of(stage.config), rows_of(make_stage(stage.kind())), 6);
  }
  return text;
}

std::string result_settings(const Recipe& recipe, const Stage& stage) {
  std::string text = fmt::format("kind: {}\nrecipe.seed: {}\n", name_of(stage.kind()), recipe.seed);
  if (stage.kind() != StageKind::kTokenizer) {
    text += fmt::format(
        "recipe.chat_template: {}\nrecipe.messages_template: {}\nrecipe.tokenizer_from: {}\n",
        yaml_text(recipe.chat_template), yaml_text(recipe.messages_template),
        yaml_text(recipe.tokenizer_from));
    if (starts_from_model_section(stage.config)) text += model_lines(recipe);
  }
  return text + effective_lines(rows_of(stage.config), "");
}

std::vector<std::string> changed_settings(std::string_view before, std::string_view after) {
  const auto old_lines = lines_by_key(before);
  const auto new_lines = lines_by_key(after);
  std::vector<std::string> changes;
  for (const auto& [key, value] : new_lines) {
    const auto found = old_lines.find(key);
    if (found == old_lines.end()) {
      changes.push_back(fmt::format("{}: (unset) → {}", key, value));
    } else if (found->second != value) {
      changes.push_back(fmt::format("{}: {} → {}", key, found->second, value));
    }
  }
  for (const auto& [key, value] : old_lines)
    if (!new_lines.contains(key)) changes.push_back(fmt::format("{}: {} → (unset)", key, value));
  return changes;
}

}  // namespace tandem::launcher
