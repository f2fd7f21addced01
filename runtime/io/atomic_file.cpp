#include "runtime/io/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "runtime/base/error.h"

namespace tandem::runtime {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarker = ".tmp-";

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// "runs/x/" names the folder runs/x.
fs::path without_trailing_slash(fs::path path) {
  return path.has_filename() ? path : path.parent_path();
}

void rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_file_error("replace", to, errno);
}

// After this, `target` is the new folder and `temporary` the old one.
void exchange(const fs::path& temporary, const fs::path& target) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0)
    return;
  if (errno != EINVAL && errno != ENOSYS) throw_file_error("replace", target, errno);
  // A file system without exchange (some network mounts): a moment without a target, but never a
  // half one.
  const fs::path old = target.string() + std::string(kMarker) + "old";
  fs::remove_all(old);
  rename_path(target, old);
  rename_path(temporary, target);
  rename_path(old, temporary);
}

}  // namespace

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  static std::atomic<unsigned> counter{0};
  std::error_code ignored;
  if (fs::is_directory(path_, ignored))
    throw_environment_error("cannot write {}: it is a folder", path_.string());
  do {
    temporary_ = fmt::format("{}{}{}-{}", path_.string(), kMarker, ::getpid(), counter++);
    const int fd = ::open(temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    fd_ = FileDescriptor(fd);
  } while (!fd_.valid() && (errno == EEXIST || errno == EINTR));
  if (!fd_.valid()) throw_file_error("create", path_, errno);
}

AtomicFile::~AtomicFile() {
  if (fd_.valid()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  TANDEM_CHECK(fd_.valid(), "{} written after commit", path_.string());
  write_all(fd_.get(), bytes, path_);
}

void AtomicFile::write(std::string_view text) {
  write(as_bytes(text));
}

void AtomicFile::write_at(std::int64_t offset, std::span<const std::byte> bytes) {
  TANDEM_CHECK(fd_.valid(), "{} written after commit", path_.string());
  write_all_at(fd_.get(), offset, bytes, path_);
}

void AtomicFile::commit() {
  TANDEM_CHECK(fd_.valid(), "{} committed twice", path_.string());
  if (::fsync(fd_.get()) != 0) throw_file_error("write", path_, errno);
  rename_path(temporary_, path_);
  fd_.close();
  sync_path(folder_of(path_));
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, as_bytes(text));
}

AtomicDirectory::AtomicDirectory(fs::path target)
    : target_(without_trailing_slash(std::move(target))), temporary_(temporary_path(target_)) {
  std::error_code error;
  fs::remove_all(temporary_, error);
  if (!error) fs::create_directories(temporary_, error);
  if (error) throw_file_error("create", temporary_, error.value());
}

AtomicDirectory::~AtomicDirectory() {
  if (committed_) return;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void AtomicDirectory::commit() {
  TANDEM_CHECK(!committed_, "{} committed twice", target_.string());
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(temporary_))
    if (entry.is_regular_file() || entry.is_directory()) sync_path(entry.path());
  sync_path(temporary_);
  const bool replaces = fs::exists(target_);
  if (replaces) {
    exchange(temporary_, target_);
  } else {
    rename_path(temporary_, target_);
  }
  committed_ = true;
  sync_path(folder_of(target_));
  if (replaces) fs::remove_all(temporary_);
}

fs::path AtomicDirectory::temporary_path(const fs::path& target) {
  return without_trailing_slash(target).string() + std::string(kMarker) + "partial";
}

void remove_directory_atomically(const fs::path& folder) {
  const fs::path doomed = without_trailing_slash(folder).string() + std::string(kMarker) + "doomed";
  std::error_code ignored;
  fs::remove_all(doomed, ignored);
  fs::rename(folder, doomed, ignored);
  fs::remove_all(doomed, ignored);
}

bool is_temporary_name(const fs::path& path) {
  return path.filename().string().find(kMarker) != std::string::npos;
}

void remove_temporaries(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (is_temporary_name(entry.path())) found.push_back(entry.path());
  for (const fs::path& path : found) fs::remove_all(path, ignored);
}

}  // namespace tandem::runtime
