// The files that a recipe's `path` means.
#pragma once

#include <string>
#include <vector>

#include "data/config.h"

namespace tandem::data {

// Sorted by name: the file itself; those in a folder whose names say that they hold data (with a
// `format` given, all that are not hidden); or those that match a pattern with *, ? or [ ]. Throws
// Error where there are none.
std::vector<std::string> data_files(const DataConfig& config);

// "my.jsonl.gz" and "my.jsonl.zst" are compressed.
enum class Compression { kNone, kGzip, kZstd };
Compression compression_of(const std::string& file);

}  // namespace tandem::data
