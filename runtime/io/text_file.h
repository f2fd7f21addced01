// Small text files, read whole.
#pragma once

#include <filesystem>
#include <string>

namespace tandem::runtime {

// Throws Error (usage) naming the path when it is missing or not a regular file.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace tandem::runtime
