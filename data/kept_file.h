// Files that a run makes of its data and maps from then on: they begin with a header that has a
// magic and a version, and what is wrong with one is mended by deleting it.
#pragma once

#include <cstring>
#include <filesystem>
#include <string_view>

#include "runtime/base/error.h"
#include "runtime/io/mapped_file.h"

namespace tandem::data {

// `kind` is what errors call it: "token file".
[[noreturn]] inline void throw_damaged(const std::filesystem::path& path, std::string_view kind,
                                       std::string_view what) {
  runtime::throw_error("{}: damaged {} ({}); delete it, it is built again", path.string(), kind,
                       what);
}

// Throws Error for another magic or version. What the rest of the header says is the caller's to
// check.
template <typename Header>
Header read_kept_header(const runtime::MappedFile& file, std::string_view magic,
                        std::uint32_t version, std::string_view kind) {
  Header header;
  if (file.bytes().size() < sizeof(header))
    throw_damaged(file.path(), kind, "shorter than its header");
  std::memcpy(&header, file.bytes().data(), sizeof(header));
  if (std::string_view(header.magic, sizeof(header.magic)) != magic)
    throw_damaged(file.path(), kind, "wrong magic");
  if (header.version != version)
    runtime::throw_error(
        "{}: {} of version {}, this program reads version {}; delete it, it is built again",
        file.path().string(), kind, header.version, version);
  return header;
}

}  // namespace tandem::data
