// A recipe's text as a tree that knows where each part comes from, so that every later complaint
// can name file and line, or the command-line argument. The only place that knows YAML's syntax.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::launcher {

struct SourceEntry;

struct SourceNode {
  enum class Kind { kNull, kScalar, kList, kMapping };

  Kind kind = Kind::kNull;
  std::string text = {};                  // of a scalar; of an override, all that was typed
  bool quoted = false;                    // a scalar in quotes is text, whatever it looks like
  std::string origin;                     // "recipes/my.yaml:14", "command line: pretrain.steps=10"
  std::vector<SourceNode> items = {};     // of a list
  std::vector<SourceEntry> entries = {};  // of a mapping, in order; keys differ

  const SourceEntry* find(std::string_view key) const;
  SourceEntry* find(std::string_view key);
  // As an error shows it: 'many', a list, a mapping, nothing.
  std::string shown() const;
};

struct SourceEntry {
  std::string key;
  std::string origin;
  SourceNode value;
};

// Throws Error "file:line: …" for what is not YAML, not UTF-8, a repeated key, or several
// documents. Anchors and aliases are expanded. An empty file is kNull.
SourceNode parse_recipe_file(const std::filesystem::path& file);
SourceNode parse_recipe_text(std::string_view text, const std::string& name);

// The value of an override on the command line: YAML too, so that lists and mappings can be given;
// what is not YAML is taken as text. So is, by a key that wants text, what happens to be a list or
// a mapping ("{prompt}").
SourceNode parse_override_value(const std::string& text, const std::string& origin);

}  // namespace tandem::launcher
