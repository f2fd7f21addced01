// Files and folders that are whole or absent, whenever the process is killed or the disk fills up:
// everything is written under a temporary name beside the target, synced, renamed over it, and the
// folder is synced. A target that existed before stays as it was until the rename.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "runtime/io/file_descriptor.h"

namespace tandem::runtime {

// Writes one file. Errors of the disk (full, broken, read-only) are environment Errors naming the
// target; the temporary is removed then, as it is when the object dies without commit().
class AtomicFile {
 public:
  // Creates the temporary. The target's folder must exist.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept = default;
  AtomicFile& operator=(AtomicFile&&) = delete;

  // At the end of what write() wrote so far.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  // At a byte offset from the start; leaves the position of write() alone.
  void write_at(std::int64_t offset, std::span<const std::byte> bytes);
  // Makes the target appear. Nothing may be written afterwards.
  void commit();

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  FileDescriptor fd_;
};

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// Writes one folder of files. One process owns the object; others may write files into path() as
// well, as long as they have finished before the owner commits.
class AtomicDirectory {
 public:
  // Creates the temporary folder, after removing what a killed process left in it. Creates missing
  // parents.
  explicit AtomicDirectory(std::filesystem::path target);
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  // Where to write: temporary_path(target).
  const std::filesystem::path& path() const { return temporary_; }
  const std::filesystem::path& target() const { return target_; }
  // Syncs every file, then renames; a target that exists is replaced.
  void commit();

  // The same on every rank, so that nobody needs to be told.
  static std::filesystem::path temporary_path(const std::filesystem::path& target);

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

// Removes a folder and what is in it; a process that is killed meanwhile leaves no half of it under
// its name. Nothing happens where there is none.
void remove_directory_atomically(const std::filesystem::path& folder);

// True for names that only the functions above make.
bool is_temporary_name(const std::filesystem::path& path);
// Removes what killed processes left directly in `folder`. Call it while nobody writes there.
void remove_temporaries(const std::filesystem::path& folder);

}  // namespace tandem::runtime
