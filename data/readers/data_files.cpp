#include "data/readers/data_files.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "runtime/base/error.h"

namespace tandem::data {

namespace fs = std::filesystem;
using runtime::throw_error;

namespace {

constexpr std::array<std::string_view, 5> kDataExtensions = {".jsonl", ".ndjson", ".parquet",
                                                             ".txt", ".text"};

// Without .gz or .zst.
fs::path unpacked_name(const fs::path& file) {
  return compression_of(file.string()) == Compression::kNone ? file : file.stem();
}

bool holds_data(const fs::path& file, DataFormat format) {
  if (file.filename().string().starts_with('.')) return false;
  if (format != DataFormat::kAuto) return true;
  return std::ranges::find(kDataExtensions, unpacked_name(file).extension().string()) !=
         kDataExtensions.end();
}

std::vector<std::string> files_in(const fs::path& folder, DataFormat format) {
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && holds_data(entry.path(), format))
      files.push_back(entry.path().string());
  std::ranges::sort(files);
  if (files.empty())
    throw_error(
        "{}: no data in this folder; put .jsonl, .parquet or .txt files there, or set 'format' for "
        "files of other names",
        folder.string());
  return files;
}

std::vector<std::string> matches(const std::string& pattern) {
  glob_t found{};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> files;
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i)
    if (fs::is_regular_file(found.gl_pathv[i])) files.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  std::ranges::sort(files);
  if (files.empty()) throw_error("{}: no file matches; name files that exist", pattern);
  return files;
}

}  // namespace

Compression compression_of(const std::string& file) {
  if (file.ends_with(".gz")) return Compression::kGzip;
  if (file.ends_with(".zst")) return Compression::kZstd;
  return Compression::kNone;
}

std::vector<std::string> data_files(const DataConfig& config) {
  const fs::file_status status = fs::status(config.path);
  if (fs::is_directory(status)) return files_in(config.path, config.format);
  if (fs::is_regular_file(status)) return {config.path};
  if (fs::exists(status))
    throw_error("{}: not a regular file; name a text, JSONL or Parquet file", config.path);
  if (config.path.find_first_of("*?[") != std::string::npos) return matches(config.path);
  throw_error(
      "{}: no such file; name an existing text, JSONL or Parquet file, a folder of them, or a "
      "pattern",
      config.path);
}

}  // namespace tandem::data
