// A file mapped read-only into memory: pages are read when they are touched, and ranks on one
// machine share them (in the system's cache). The file must not shrink while it is mapped (our
// writers only ever replace files whole).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace tandem::runtime {

class MappedFile {
 public:
  MappedFile() = default;
  // Throws Error (usage) when the file is missing or not a regular file, Error (environment) when
  // mapping fails.
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }
  // `part` of bytes() has been read and is not needed soon: its pages no longer count as this
  // process's memory. The system's cache keeps them; touching them again is allowed.
  void forget(std::span<const std::byte> part) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace tandem::runtime
