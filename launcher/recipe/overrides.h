// Command-line overrides, applied to the tree before it is read, so that they are checked like the
// file itself.
#pragma once

#include <span>
#include <string>

#include "launcher/recipe/source.h"

namespace tandem::launcher {

// The kind and the settings of one item of `stages`; null where the item is not one key with its
// settings.
SourceEntry* stage_entry(SourceNode& item);
// The stage's `name`, or its kind.
std::string stage_name(const SourceEntry& entry);

// Each "key.path=value" replaces or adds one value of `root`. Throws Error "command line: …" for
// what is not of that form, and for paths that start with neither a top-level key (`top_level`) nor
// a stage's name.
void apply_overrides(SourceNode& root, std::span<const std::string> overrides,
                     std::span<const std::string> top_level);

}  // namespace tandem::launcher
